/** A Pregel application for fault tests: rounds of a fan-out, a join and a pause; every execution leaves a line in a file. */
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { END, reduced, START, StateGraph } from '../../../src/pregel/index.ts';

const State = z.object({
  /** Where each execution is noted. */
  file: z.string(),
  rounds: z.number(),
  round: z.number().default(0),
  log: reduced(z.array(z.string()), { reduce: (a, b) => [...a, ...b], initial: () => [] }),
});

const note = (name: string) => (state: z.infer<typeof State>) => {
  const entry = `${name}${state.round}`;
  appendFileSync(state.file, `${entry}\n`);
  return { log: [entry] };
};

export const graph = new StateGraph(State)
  .addNode('begin', note('begin'))
  .addNode('a', note('a'))
  .addNode('b', async (state) => {
    await sleep(10);
    return note('b')(state);
  })
  .addNode('join', (state) => ({ ...note('join')(state), round: state.round + 1 }))
  .addEdge(START, 'begin')
  .addEdge('begin', 'a')
  .addEdge('begin', 'b')
  .addEdge(['a', 'b'], 'join')
  .addConditionalEdges('join', (state) => (state.round < state.rounds ? 'more' : 'done'), {
    more: 'begin',
    done: END,
  })
  .compile({ name: 'rounds' });
