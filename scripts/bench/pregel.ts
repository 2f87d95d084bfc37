/**
 * µs per superstep: our Pregel beside LangGraph.js, the same graph, in the same process, one after
 * the other in turns, median of five. Without checkpointer, with checkpoints in memory, and with
 * checkpoints in a Postgres of its own (fsync on), where each step waits for its commit.
 * Beside the last stands the floor: as many bytes, one prepared INSERT and its commit. Run: `npx tsx scripts/bench/pregel.ts
 * [steps] [postgres]`; with `postgres` only the last contest.
 *
 * The graph is one node that counts down, so that a superstep is all there is; the last value is
 * checked, so that no step can be skipped.
 */
import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import * as LangGraph from '@langchain/langgraph';
import { z } from 'zod';
import { CheckpointQueue } from '../../src/checkpoints/queue.ts';
import { CheckpointStorage } from '../../src/checkpoints/storage.ts';
import { LangGraphSaver } from '../../src/graphs/langgraph/saver.ts';
import { PregelSaver } from '../../src/graphs/pregel/saver.ts';
import { migrate } from '../../src/postgres/migrate.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { END, MemoryCheckpointer, START, StateGraph } from '../../src/pregel/index.ts';

/** Enough for both runtimes to be warm, as in a worker: at 2,000 both take a third more. */
const STEPS = Number(process.argv[2] ?? 8_000);
const ROUNDS = 5;
const WARM_UP_ROUNDS = 2;

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

interface Counter {
  left: number;
  done: number;
}
interface Contender {
  readonly name: string;
  readonly run: (round: number, input: Counter) => Promise<Counter>;
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

interface Contest {
  readonly what: string;
  readonly steps: number;
  readonly contenders: readonly Contender[];
}
const contests: Contest[] = [
  {
    what: 'no checkpointer',
    steps: STEPS,
    contenders: [
      { name: 'ours', run: (round, input) => plain.invoke(input, options(round)) },
      { name: 'LangGraph.js', run: (round, input) => theirPlain.invoke(input, options(round)) },
    ],
  },
  {
    what: 'checkpoints in memory, sync',
    steps: STEPS / 4,
    contenders: [
      { name: 'ours', run: (round, input) => kept.invoke(input, options(round)) },
      { name: 'LangGraph.js', run: (round, input) => theirKept.invoke(input, options(round)) },
    ],
  },
];

const postgres = await startPostgres({ fsync: true });
const pool = createPool({ url: postgres.url, connectionsMax: 2, name: 'bench' }, () => undefined);
await migrate(pool);
const storage = new CheckpointStorage(pool);
/** A thread of its own for each run, and the queue that writes its checkpoints. */
async function writer(): Promise<{ threadId: string; queue: CheckpointQueue }> {
  const threadId = randomUUID();
  await pool.query('INSERT INTO threads (thread_id, term) VALUES ($1, 1)', [threadId]);
  const queue = new CheckpointQueue(storage, {
    writer: { threadId, runId: randomUUID(), term: 1 },
  });
  return { threadId, queue };
}
/** The least that a durable superstep can cost: as many bytes as ours has, one prepared INSERT, its commit. */
const SUPERSTEP_TEXT = 'x'.repeat(700);
const RAW_INSERT = {
  name: 'floor',
  text: 'INSERT INTO floor (thread_id, step, data) VALUES ($1, $2, $3)',
};
await pool.query(
  'CREATE TABLE floor (thread_id uuid, step integer, data text, PRIMARY KEY (thread_id, step))',
);
contests.push({
  what: 'checkpoints in Postgres, sync',
  steps: STEPS / 10,
  contenders: [
    {
      name: 'ours',
      run: async (round, input) => {
        const { threadId, queue } = await writer();
        const checkpointer = new PregelSaver(storage, queue, { durability: 'sync' });
        const configurable = { thread_id: threadId };
        return plain.invoke(input, { ...options(round), checkpointer, configurable });
      },
    },
    {
      name: 'floor',
      run: async (_round, { left }) => {
        const threadId = randomUUID();
        for (let step = 0; step < left; step += 1)
          await pool.query({ ...RAW_INSERT, values: [threadId, step, SUPERSTEP_TEXT] });
        return { left: 0, done: left };
      },
    },
    {
      name: 'LangGraph.js',
      run: async (round, input) => {
        const { threadId, queue } = await writer();
        const saver = new LangGraphSaver(storage, queue, { durability: 'sync', metadata: {} });
        return theirPlain.invoke(input, {
          ...options(round),
          configurable: { thread_id: threadId, __pregel_checkpointer: saver },
        });
      },
    },
  ],
});

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

try {
  for (const { what, steps, contenders } of process.argv[3] === 'postgres'
    ? contests.slice(-1)
    : contests) {
    const times = new Map<string, number[]>(contenders.map(({ name }) => [name, []]));
    for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round += 1) {
      for (const { name, run } of contenders) {
        const start = performance.now();
        const { done } = await run(round, { left: steps, done: 0 });
        const perStepUs = ((performance.now() - start) * 1_000) / steps;
        if (done !== steps) throw new Error(`${name} counted ${done} of ${steps} steps`);
        if (round >= 0) times.get(name)?.push(perStepUs);
      }
    }
    const own = median(times.get('ours')!);
    const figures = contenders.map(({ name }) => {
      const us = median(times.get(name)!);
      return `${name} ${us.toFixed(1)} µs${name === 'ours' ? '' : ` (ours ${(own / us).toFixed(2)}×)`}`;
    });
    process.stdout.write(`${what}: ${figures.join(', ')} per superstep\n`);
  }
} finally {
  await pool.end();
  await postgres.stop();
}
