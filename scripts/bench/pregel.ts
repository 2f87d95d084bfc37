/**
 * µs per superstep: our Pregel beside LangGraph.js, the same graph, in the same process, one after
 * the other in turns, median of five. Run: `npx tsx scripts/bench/pregel.ts [steps]`.
 *
 * The graph is one node that counts down, so that a superstep is all there is; the last value is
 * checked, so that no step can be skipped.
 */
import { performance } from 'node:perf_hooks';
import * as LangGraph from '@langchain/langgraph';
import { z } from 'zod';
import { END, MemoryCheckpointer, START, StateGraph } from '../../src/pregel/index.ts';

const STEPS = Number(process.argv[2] ?? 400);
const ROUNDS = 5;
const input = { left: STEPS, done: 0 };

const State = z.object({ left: z.number(), done: z.number() });
const count = (state: { left: number; done: number }): { left: number; done: number } => ({
  left: state.left - 1,
  done: state.done + 1,
});
const ours = new StateGraph(State)
  .addNode('count', count)
  .addEdge(START, 'count')
  .addConditionalEdges('count', (state) => (state.left > 0 ? 'count' : END));

const Annotated = LangGraph.Annotation.Root({
  left: LangGraph.Annotation<number>(),
  done: LangGraph.Annotation<number>(),
});
const theirs = new LangGraph.StateGraph(Annotated)
  .addNode('count', count)
  .addEdge(LangGraph.START, 'count')
  .addConditionalEdges('count', (state) => (state.left > 0 ? 'count' : LangGraph.END));

interface Contender {
  readonly name: string;
  readonly run: (round: number) => Promise<{ done: number }>;
}

function options(round: number): {
  recursionLimit: number;
  configurable: { thread_id: string };
  durability: 'sync';
} {
  return {
    recursionLimit: STEPS + 10,
    configurable: { thread_id: `t${round}` },
    durability: 'sync',
  };
}
const plain = ours.compile();
const kept = ours.compile({ checkpointer: new MemoryCheckpointer() });
const theirPlain = theirs.compile();
const theirKept = theirs.compile({ checkpointer: new LangGraph.MemorySaver() });

const contests: readonly { readonly what: string; readonly contenders: readonly Contender[] }[] = [
  {
    what: 'no checkpointer',
    contenders: [
      { name: 'ours', run: (round) => plain.invoke(input, options(round)) },
      { name: 'LangGraph.js', run: (round) => theirPlain.invoke(input, options(round)) },
    ],
  },
  {
    what: 'checkpoints in memory, sync',
    contenders: [
      { name: 'ours', run: (round) => kept.invoke(input, options(round)) },
      { name: 'LangGraph.js', run: (round) => theirKept.invoke(input, options(round)) },
    ],
  },
];

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

for (const { what, contenders } of contests) {
  const times = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
  // Round -1 warms up.
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const { name, run } of contenders) {
      const start = performance.now();
      const { done } = await run(round);
      const perStepUs = ((performance.now() - start) * 1_000) / STEPS;
      if (done !== STEPS) throw new Error(`${name} counted ${done} of ${STEPS} steps`);
      if (round >= 0) times.get(name)?.push(perStepUs);
    }
  }
  const [own, other] = contenders.map(({ name }) => median(times.get(name)!)) as [number, number];
  process.stdout.write(
    `${what}: ours ${own.toFixed(1)} µs per superstep, LangGraph.js ${other.toFixed(1)} µs (${(other / own).toFixed(0)} times)\n`,
  );
}
