/** The same as a function (seed 004, "Functional API"). */
import { z } from 'zod';
import { entrypoint, task } from '../../src/pregel/index.ts';

const Topic = z.object({ topic: z.string() });

const score = task('score_essay', (content: string) => Math.min(10, content.length));

export const graph = entrypoint(
  { name: 'write_essay', input: Topic },
  async ({ topic }: z.infer<typeof Topic>) => {
    const content = `Essay about ${topic}`;
    return { content, score: await score(content) };
  },
);

export const input = { topic: 'mills' };
export const output = { content: 'Essay about mills', score: 10 };
