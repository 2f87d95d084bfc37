/**
 * µs per superstep: our Pregel beside LangGraph.js, the same graph, in the same process, in turns. Without checkpointer,
 * with checkpoints in memory, and in Postgres (fsync on), where each step waits for its commit; beside the last stands
 * the floor: as many bytes, one prepared INSERT and its commit.
 *
 * The graph is one node that counts down, so that a superstep is all there is; the last value is checked, so that no step
 * can be skipped. What runs is the program's own saver and queue, from dist.
 */
import { randomUUID } from 'node:crypto';
import * as LangGraph from '@langchain/langgraph';
import { END, MemoryCheckpointer, START, StateGraph } from 'millrace';
import { z } from 'zod';
import { CheckpointQueue } from '../../../dist/checkpoints/queue.js';
import { CheckpointStorage } from '../../../dist/checkpoints/storage.js';
import { LangGraphSaver } from '../../../dist/graphs/langgraph/saver.js';
import { PregelSaver } from '../../../dist/graphs/pregel/saver.js';
import { migrate } from '../../../dist/postgres/migrate.js';
import { createPool } from '../../../dist/postgres/pool.js';
import { serve } from './serve.mjs';

const count = (state) => ({ left: state.left - 1, done: state.done + 1 });
const ours = new StateGraph(z.object({ left: z.number(), done: z.number() }))
  .addNode('count', count)
  .addEdge(START, 'count')
  .addConditionalEdges('count', (state) => (state.left > 0 ? 'count' : END));
const theirs = new LangGraph.StateGraph(
  LangGraph.Annotation.Root({ left: LangGraph.Annotation(), done: LangGraph.Annotation() }),
)
  .addNode('count', count)
  .addEdge(LangGraph.START, 'count')
  .addConditionalEdges('count', (state) => (state.left > 0 ? 'count' : LangGraph.END));

const plain = ours.compile();
const kept = ours.compile({ checkpointer: new MemoryCheckpointer() });
const theirPlain = theirs.compile();
const theirKept = theirs.compile({ checkpointer: new LangGraph.MemorySaver() });

const pool = createPool(
  { url: process.env.DATABASE_URL, connectionsMax: 2, name: 'superstep' },
  () => undefined,
);
await migrate(pool);
const storage = new CheckpointStorage(pool);
/** As many bytes as a superstep of ours writes. */
const SUPERSTEP_TEXT = 'x'.repeat(700);
await pool.query(
  'CREATE TABLE superstep_floor (thread_id uuid, step integer, data text, PRIMARY KEY (thread_id, step))',
);

/** A thread of its own for each run, and the queue that writes its checkpoints. */
async function writer() {
  const threadId = randomUUID();
  await pool.query('INSERT INTO threads (thread_id, term) VALUES ($1, 1)', [threadId]);
  const queue = new CheckpointQueue(storage, {
    writer: { threadId, runId: randomUUID(), term: 1 },
  });
  return { threadId, queue };
}

/** contest → contender → (input, options) → the last state */
const CONTESTS = {
  none: {
    ours: (input, options) => plain.invoke(input, options),
    theirs: (input, options) => theirPlain.invoke(input, options),
  },
  memory: {
    ours: (input, options) => kept.invoke(input, options),
    theirs: (input, options) => theirKept.invoke(input, options),
  },
  postgres: {
    async ours(input, options) {
      const { threadId, queue } = await writer();
      const checkpointer = new PregelSaver(storage, queue, { durability: 'sync' });
      const configurable = { thread_id: threadId };
      return plain.invoke(input, { ...options, checkpointer, configurable });
    },
    async floor({ left }) {
      const threadId = randomUUID();
      for (let step = 0; step < left; step++)
        await pool.query({
          name: 'superstep-floor',
          text: 'INSERT INTO superstep_floor (thread_id, step, data) VALUES ($1, $2, $3)',
          values: [threadId, step, SUPERSTEP_TEXT],
        });
      return { done: left };
    },
    async theirs(input, options) {
      const { threadId, queue } = await writer();
      const saver = new LangGraphSaver(storage, queue, { durability: 'sync', metadata: {} });
      return theirPlain.invoke(input, {
        ...options,
        configurable: { thread_id: threadId, __pregel_checkpointer: saver },
      });
    },
  },
};

serve(undefined, {
  /** @returns µs a superstep by contender */
  async contest({ kept: where, steps }) {
    const figures = {};
    for (const [name, run] of Object.entries(CONTESTS[where])) {
      const start = process.hrtime.bigint();
      const { done } = await run(
        { left: steps, done: 0 },
        {
          recursionLimit: steps + 10,
          configurable: { thread_id: randomUUID() },
          durability: 'sync',
        },
      );
      figures[name] = Number(process.hrtime.bigint() - start) / 1_000 / steps;
      if (done !== steps) throw new Error(`${name} counted ${done} of ${steps} steps`);
    }
    return figures;
  },
});
