/** The same random graphs on our runtime and on LangGraph.js: compare.ts says what counts as same. */
import { MemoryCheckpointer } from '../../../src/pregel/index.ts';
import { buildLangGraph, buildOurs, trace } from './both-runtimes.ts';
import { difference, historyDifference } from './compare.ts';
import { randomGraph, RUNS_MAX, withoutFailures } from './random-graph.ts';

// More with PREGEL_SEEDS=20000; one again with PREGEL_SEED=<the failing one>.
const SEEDS = Number(process.env['PREGEL_SEEDS'] ?? 2_000);
const ONLY = process.env['PREGEL_SEED'];

async function check(seed: number): Promise<string | undefined> {
  const graph = randomGraph(seed);
  const calm = withoutFailures(graph);
  const theirs = await trace(buildLangGraph(calm), 'langgraph', RUNS_MAX);
  const ours = await trace(buildOurs(calm, new MemoryCheckpointer()), 'ours', RUNS_MAX);
  const found = difference(theirs, ours);
  if (found !== undefined) return found;
  const failures = graph.nodes.filter((node) => node.failsOnce).length;
  const ended = theirs.runs.length < RUNS_MAX && theirs.runs.at(-1)?.error === undefined;
  if (failures === 0 || !ended) return undefined;
  const failed = await trace(
    buildOurs(graph, new MemoryCheckpointer()),
    'ours',
    RUNS_MAX + failures,
  );
  const left = historyDifference(theirs, failed);
  return left === undefined ? undefined : `with failures: ${left}`;
}

test(
  'random graphs have the same values per step, final state and interrupts as in LangGraph',
  async () => {
    const seeds =
      ONLY === undefined ? Array.from({ length: SEEDS }, (_, seed) => seed) : [Number(ONLY)];
    for (const seed of seeds) {
      const found = await check(seed);
      if (found !== undefined) {
        throw new Error(`seed ${seed}: ${found}\n${JSON.stringify(randomGraph(seed))}`);
      }
    }
  },
  300_000 + SEEDS * 60,
);
