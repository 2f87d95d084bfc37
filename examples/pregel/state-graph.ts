/** An essay in two nodes (seed 004, "StateGraph"). The seed has no edge to the second; we add it. */
import { z } from 'zod';
import { START, StateGraph } from '../../src/pregel/index.ts';

const Essay = z.object({
  topic: z.string(),
  content: z.string().optional(),
  score: z.number().optional(),
});

export const graph = new StateGraph(Essay)
  .addNode('write_essay', (essay) => ({ content: `Essay about ${essay.topic}` }))
  .addNode('score_essay', () => ({ score: 10 }))
  .addEdge(START, 'write_essay')
  .addEdge('write_essay', 'score_essay')
  .compile({ name: 'essay' });

export const input = { topic: 'mills' };
export const output = { topic: 'mills', content: 'Essay about mills', score: 10 };
