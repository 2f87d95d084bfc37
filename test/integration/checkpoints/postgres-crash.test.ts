/**
 * Postgres crashes under a run whose worker lives: what the run had committed without waiting for the disk is gone, and is
 * back with the next thing that the run writes, its end at the latest. The WAL writer stands still here, so all of it is lost.
 */
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { z } from 'zod';
import type { CheckpointPut, WritePut } from '../../../src/checkpoints/checkpoint.ts';
import type { EventsBefore } from '../../../src/checkpoints/events-before.ts';
import { CheckpointQueue } from '../../../src/checkpoints/queue.ts';
import { CheckpointStorage } from '../../../src/checkpoints/storage.ts';
import type { CheckpointBatch } from '../../../src/checkpoints/unflushed.ts';
import type { Graph } from '../../../src/graphs/port.ts';
import { createGraphRegistry } from '../../../src/graphs/registry.ts';
import * as pregel from '../../../src/pregel/index.ts';
import { finishRun } from '../../../src/runs/finish.ts';
import type { Finished } from '../../../src/runs/finish.ts';
import {
  configFor,
  createDependencies,
  createExecution,
  createRun,
  createSink,
  createThread,
} from '../../support/graphs.ts';
import { createTestDatabase, startPostgres } from '../../support/postgres.ts';
import type { TestDatabase, TestPostgres } from '../../support/postgres.ts';
import { signal } from '../../support/process-family.ts';
import { waitUntil } from '../../support/wait-until.ts';

let server: TestPostgres;
let database: TestDatabase;
let storage: CheckpointStorage;
beforeAll(async () => {
  server = await startPostgres({
    settings: {
      // Whatever else would bring commits to the disk.
      ...{ wal_buffers: '16MB', wal_level: 'minimal', max_wal_senders: '0', autovacuum: 'off' },
      ...{ wal_writer_delay: '10s', bgwriter_lru_maxpages: '0', checkpoint_timeout: '1h' },
    },
  });
  database = await createTestDatabase({ serverUrl: server.url });
  storage = new CheckpointStorage(database.pool);
  await freezeWalWriter();
});
afterAll(async () => {
  await database.pool.end();
  await server.stop();
});

async function freezeWalWriter(): Promise<void> {
  const pid = await waitUntil(
    async () => {
      const { rows } = await database.pool.query<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'`,
      );
      return rows[0]?.pid;
    },
    { timeoutMs: 30_000, what: 'the WAL writer' },
  );
  signal(pid, 'SIGSTOP');
}

async function crash(): Promise<void> {
  await server.kill();
  await server.restart();
  await freezeWalWriter();
}

interface Stored {
  checkpoints: string[];
  blobs: number;
  writes: number;
}

async function stored(threadId: string): Promise<Stored> {
  const { rows } = await database.pool.query<Stored>(
    `SELECT ARRAY(SELECT checkpoint_id FROM checkpoints WHERE thread_id = $1 ORDER BY position) AS checkpoints,
       (SELECT count(*) FROM checkpoint_blobs WHERE thread_id = $1) AS blobs,
       (SELECT count(*) FROM checkpoint_writes WHERE thread_id = $1) AS writes`,
    [threadId],
  );
  const [row] = rows;
  if (row === undefined) throw new Error('no row');
  return row;
}
const NOTHING: Stored = { checkpoints: [], blobs: 0, writes: 0 };

/** Has a row of its own, and is written once. */
const DOCUMENT = 'long '.repeat(200);
/** Of a graph's second node: `undefined` runs without a crash. */
let inSecond: (() => Promise<void>) | undefined;

const State = Annotation.Root({ document: Annotation<string>(), n: Annotation<number>() });
const theirs = new StateGraph(State)
  .addNode('first', () => ({ document: DOCUMENT, n: 1 }))
  .addNode('second', async () => {
    await inSecond?.();
    return { n: 2 };
  })
  .addNode('third', () => ({ n: 3 }))
  .addEdge(START, 'first')
  .addEdge('first', 'second')
  .addEdge('second', 'third')
  .addEdge('third', END)
  .compile();
const OwnState = z.object({ document: z.string().default(''), n: z.number().default(0) });
const ours = new pregel.StateGraph(OwnState)
  .addNode('first', () => ({ document: DOCUMENT, n: 1 }))
  .addNode('second', async () => {
    await inSecond?.();
    return { n: 2 };
  })
  .addNode('third', () => ({ n: 3 }))
  .addEdge(pregel.START, 'first')
  .addEdge('first', 'second')
  .addEdge('second', 'third')
  .addEdge('third', pregel.END)
  .compile({ name: 'ours' });

describe.each([
  { runtime: 'LangGraph.js', graph: theirs },
  { runtime: 'our Pregel', graph: ours },
])('$runtime', ({ graph: value }) => {
  async function valuesOf(graph: Graph, threadId: string): Promise<unknown[]> {
    const config = configFor('test');
    const history = await graph.getHistory({ threadId, config, subgraphs: false, limit: 20 });
    return history.map(({ values, next }) => ({ values, next }));
  }

  test('[12b] a crash between two supersteps: every state of the run is there, with all its values', async () => {
    const dependencies = createDependencies(database.pool);
    const graph = await createGraphRegistry(dependencies, { graphs: { test: value } }).get('test');
    const run = async (threadId: string): Promise<unknown[]> => {
      const input = { n: 0 };
      await graph.execute(createExecution(threadId, createSink(), { input, durability: 'async' }));
      return await valuesOf(graph, threadId);
    };
    inSecond = undefined;
    const expected = await run(await createThread(database.pool));
    const threadId = await createThread(database.pool);
    let left: Stored | undefined;
    inSecond = async () => {
      await waitUntil(async () => (await stored(threadId)).blobs > 0, { timeoutMs: 20_000 });
      await crash();
      left = await stored(threadId);
    };
    expect(await run(threadId)).toEqual(expected);
    expect(left).toEqual(NOTHING);
    expect(expected[0]).toMatchObject({ values: { document: DOCUMENT, n: 3 } });
  });
});

const put = (id: string, data = DOCUMENT): CheckpointPut => ({
  ns: '',
  id,
  parentId: null,
  head: { v: 4, ts: '2026-01-01', channel_versions: { x: id }, versions_seen: {} },
  metadata: {},
  blobs: [{ channel: 'x', version: id, type: 'json', data: JSON.stringify(data) }],
});
const write = (checkpointId: string): WritePut => ({
  ...{ ns: '', checkpointId, taskId: 't1', idx: 0, channel: 'x', type: 'json', data: '1' },
});

interface Playing {
  readonly threadId: string;
  readonly queue: CheckpointQueue;
  finish(checkpoints: CheckpointBatch): Promise<Finished>;
}

/** A run under way, of which only the queue of its checkpoints writes. */
async function play(events?: EventsBefore): Promise<Playing> {
  const { pool } = database;
  const threadId = await createThread(pool);
  const runId = await createRun(pool, threadId);
  await pool.query('UPDATE runs SET term = 1 WHERE run_id = $1', [runId]);
  await pool.query('UPDATE threads SET log_term = 1, active_runs = 1 WHERE thread_id = $1', [
    threadId,
  ]);
  const queue = new CheckpointQueue(storage, {
    ...{ writer: { threadId, runId, term: 1 }, relaxed: true, events },
    signal: AbortSignal.timeout(60_000),
  });
  return {
    threadId,
    queue,
    finish: (checkpoints) =>
      finishRun(pool, {
        ...{ threadId, runId, term: 1, status: 'success', error: null, output: null, state: null },
        ...{ threadStatus: 'idle', rest: [], lastSeq: 0, webhook: null, checkpoints },
      }),
  };
}

test('[12b] a run whose last checkpoint and writes are lost does not end without them', async () => {
  const runs = await Promise.all([play(), play(), play()]);
  const [quiet, waiting, going] = runs;
  for (const { queue } of runs) {
    queue.put(put('c1'));
    await queue.flush();
  }
  // The newest commit has no checkpoint.
  waiting.queue.putWrite(write('c1'));
  await waiting.queue.flush();
  going.queue.put(put('c2'));
  const rests = await Promise.all(runs.map(({ queue }) => queue.takeRest()));
  await crash();
  for (const { threadId } of runs) expect(await stored(threadId)).toEqual(NOTHING);
  for (const [i, { finish }] of runs.entries())
    expect(await finish(rests[i] ?? NO_BATCH)).toMatchObject({ outcome: 'ended' });
  expect(await stored(quiet.threadId)).toEqual({ checkpoints: ['c1'], blobs: 1, writes: 0 });
  expect(await stored(waiting.threadId)).toEqual({ checkpoints: ['c1'], blobs: 1, writes: 1 });
  expect(await stored(going.threadId)).toEqual({ checkpoints: ['c1', 'c2'], blobs: 2, writes: 0 });
});
const NO_BATCH: CheckpointBatch = { checkpoints: [], writes: [] };

test('[12b] the same for the next checkpoint: after events, without, and after writes', async () => {
  let lost = 0;
  const events: EventsBefore = {
    unarchived: () => ({ rows: [], last: 0, emitted: 0 }),
    taken: () => undefined,
    lost: () => lost++,
  };
  const after = await play(events);
  const alone = await play();
  const writing = [await play(), await play(events)];
  const runs = [after, alone, ...writing];
  for (const { queue } of runs) {
    queue.put(put('c1'));
    await queue.flush();
  }
  for (const { queue } of writing) {
    queue.putWrite(write('c1'));
    await queue.flush();
  }
  await crash();
  for (const run of runs) {
    const { threadId, queue } = run;
    expect(await stored(threadId)).toEqual(NOTHING);
    queue.put(put('c2'));
    await queue.flush();
    expect(await stored(threadId)).toEqual({
      ...{ checkpoints: ['c1', 'c2'], blobs: 2, writes: writing.includes(run) ? 1 : 0 },
    });
  }
  expect(lost).toBe(2);
  // It has waited for the disk: a second crash takes nothing.
  await crash();
  for (const { threadId } of runs)
    expect((await stored(threadId)).checkpoints).toEqual(['c1', 'c2']);
});

test('a worker whose term is over brings nothing back', async () => {
  const { threadId, queue } = await play();
  queue.put(put('c1'));
  await queue.flush();
  await crash();
  await database.pool.query('UPDATE threads SET term = term + 1 WHERE thread_id = $1', [threadId]);
  queue.put(put('c2'));
  await expect(queue.flush()).rejects.toMatchObject({ code: 'term_fenced' });
  expect(await stored(threadId)).toEqual(NOTHING);
});

test('what is kept for a crash is bounded: now and then a commit waits for the disk', async () => {
  const { threadId, queue } = await play();
  for (const id of ['c1', 'c2', 'c3', 'c4']) {
    queue.put(put(id, 'x'.repeat(300_000)));
    await queue.flush();
  }
  await crash();
  expect((await stored(threadId)).checkpoints).toEqual(['c1', 'c2', 'c3']);
  queue.put(put('c5'));
  await queue.flush();
  expect((await stored(threadId)).checkpoints).toEqual(['c1', 'c2', 'c3', 'c4', 'c5']);
});
