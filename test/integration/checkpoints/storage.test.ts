/** The fence around checkpoint writes, and what goes with a run or a thread. */
import { randomUUID } from 'node:crypto';
import {
  copyThreadCheckpoints,
  deleteRunCheckpoints,
  deleteThreadCheckpoints,
} from '../../../src/checkpoints/lifecycle.ts';
import { CheckpointQueue } from '../../../src/checkpoints/queue.ts';
import type { CheckpointPut, WritePut } from '../../../src/checkpoints/checkpoint.ts';
import { CheckpointStorage } from '../../../src/checkpoints/storage.ts';
import type { CheckpointWriter } from '../../../src/checkpoints/writer.ts';
import type { Db } from '../../../src/postgres/pool.ts';
import { EVERYTHING } from '../../../src/postgres/visibility.ts';
import { deleteRun } from '../../../src/runs/find.ts';
import { pruneToLatest } from '../../../src/threads/prune.ts';
import { createRun, createThread } from '../../support/graphs.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';
import { waitUntil } from '../../support/wait-until.ts';

let database: TestDatabase;
let storage: CheckpointStorage;
beforeAll(async () => {
  database = await createTestDatabase();
  storage = new CheckpointStorage(database.pool);
});
afterAll(() => database.drop());

const put = (
  id: string,
  given: Partial<CheckpointPut> & { value?: string } = {},
): CheckpointPut => ({
  ns: '',
  id,
  parentId: null,
  head: { v: 4, ts: '2026-01-01', channel_versions: { x: id }, versions_seen: {} },
  metadata: {},
  blobs: [{ channel: 'x', version: id, type: 'json', data: JSON.stringify(given.value ?? id) }],
  ...given,
});
const write = (checkpointId: string, given: Partial<WritePut> = {}): WritePut => ({
  ns: '',
  checkpointId,
  taskId: 't1',
  idx: 0,
  channel: 'x',
  type: 'json',
  data: '"w"',
  ...given,
});
const writerOf = (
  threadId: string,
  runId: string | null = null,
): { threadId: string; runId: string | null; term: number } => ({ threadId, runId, term: 1 });

/** Of term 1, on the disk. */
const commit = (
  writer: CheckpointWriter,
  checkpoints: readonly CheckpointPut[],
  writes: readonly WritePut[] = [],
  to = storage,
): Promise<boolean> => to.write(writer, 1, { checkpoints, writes }, false);

test('a write waits for a claim in progress and is then refused, all of it', async () => {
  const threadId = await createThread(database.pool);
  const claim = await database.pool.connect();
  await claim.query('BEGIN');
  await claim.query('UPDATE threads SET term = term + 1 WHERE thread_id = $1', [threadId]);
  const writing = commit(writerOf(threadId), [put('c1')], [write('c1')]).catch(
    (error: unknown) => error,
  );
  await waitUntil(
    async () => {
      const { rowCount } = await database.pool.query(
        `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%put_checkpoints%'
           AND datname = current_database()`,
      );
      return rowCount === 1;
    },
    { timeoutMs: 20_000, what: 'the write to wait for the row' },
  );
  await claim.query('COMMIT');
  claim.release();
  expect(await writing).toMatchObject({ code: 'term_fenced' });
  const { rows } = await database.pool.query(
    `SELECT thread_id FROM checkpoints WHERE thread_id = $1 UNION ALL
     SELECT thread_id FROM checkpoint_blobs WHERE thread_id = $1 UNION ALL
     SELECT thread_id FROM checkpoint_writes WHERE thread_id = $1`,
    [threadId],
  );
  expect(rows).toEqual([]);
});

test('a claim waits for a write in progress', async () => {
  const threadId = await createThread(database.pool);
  const writer = await database.pool.connect();
  await writer.query('BEGIN');
  await commit(writerOf(threadId), [put('c1')], [], new CheckpointStorage(writer));
  const other = await database.pool.connect();
  await other.query("SET lock_timeout = '100ms'");
  await expect(
    other.query('UPDATE threads SET term = term + 1 WHERE thread_id = $1', [threadId]),
  ).rejects.toMatchObject({ code: '55P03' });
  await writer.query('COMMIT');
  writer.release();
  other.release(true);
});

test('a state update brings no term: it takes the one of an idle thread, and a claim refuses it', async () => {
  const threadId = await createThread(database.pool);
  const queue = new CheckpointQueue(storage, { writer: { threadId, runId: null, term: null } });
  await queue.begin();
  await database.pool.query('UPDATE threads SET term = 2 WHERE thread_id = $1', [threadId]);
  queue.put(put('c1'));
  await expect(queue.flush()).rejects.toMatchObject({ code: 'thread_busy' });
  expect(await storage.read(threadId, '')).toBeUndefined();
});

test.each<[string, (threadId: string, runId: string) => Promise<unknown>]>([
  ['a pruning', (threadId) => pruneToLatest(database.pool, threadId, EVERYTHING)],
  ['a deleted run', (threadId, runId) => deleteRun(database.pool, threadId, runId, EVERYTHING)],
])(
  '%s refuses a state update that began before it and may build on what is gone',
  async (_, remove) => {
    const threadId = await createThread(database.pool);
    const runId = await createRun(database.pool, threadId, { status: 'success' });
    await commit(writerOf(threadId, runId), [put('c1'), put('c2')]);
    const queue = new CheckpointQueue(storage, { writer: { threadId, runId: null, term: null } });
    await queue.begin();
    await remove(threadId, runId);
    queue.put(put('c3', { head: put('c1').head, blobs: [] }));
    await expect(queue.flush()).rejects.toMatchObject({ code: 'thread_busy' });
  },
);

test('a thread that does not exist takes no checkpoint', async () => {
  const threadId = randomUUID();
  const none = { threadId, runId: null, term: null };
  await expect(storage.termOf(none)).rejects.toMatchObject({ code: 'thread_not_found' });
  await expect(commit(writerOf(threadId), [put('c1')])).rejects.toMatchObject({
    code: 'term_fenced',
  });
});

test('the latest checkpoint is the one written last, whatever the clocks that made the ids', async () => {
  const threadId = await createThread(database.pool);
  for (const id of ['c9', 'c1', 'c5']) await commit(writerOf(threadId), [put(id)]);
  expect((await storage.read(threadId, ''))?.id).toBe('c5');
  const before = await storage.list({ threadId, ns: '', beforeId: 'c5' });
  expect(before.map(({ id }) => id)).toEqual(['c1', 'c9']);
});

test('writing the same again changes nothing', async () => {
  const threadId = await createThread(database.pool);
  const batch = [[put('c1')], [write('c1')]] as const;
  await commit(writerOf(threadId), ...batch);
  const first = await storage.read(threadId, '');
  await commit(writerOf(threadId), ...batch);
  expect(await storage.read(threadId, '')).toEqual(first);
});

test('metadata with what jsonb refuses is stored and found', async () => {
  const threadId = await createThread(database.pool);
  const metadata = { 'k\u0000': ['a\u0000b', '\ud800'], pair: '😀', literal: '\\u0000' };
  await commit(writerOf(threadId), [put('c1', { metadata })]);
  const [found] = await storage.list({ threadId, metadata });
  expect(found?.metadata).toEqual({
    'k\ufffd': ['a\ufffdb', '\ufffd'],
    pair: '😀',
    literal: '\\u0000',
  });
});

test('values keep \\u0000 and lone surrogates', async () => {
  const threadId = await createThread(database.pool);
  const value = 'a\u0000b\ud800';
  await commit(writerOf(threadId), [put('c1', { value })]);
  const [blob] = (await storage.read(threadId, ''))?.blobs ?? [];
  expect(JSON.parse(blob?.[2] ?? '')).toBe(value);
});

test('deleting a run brings back what was before it, and leaves what later runs need', async () => {
  const threadId = await createThread(database.pool);
  const [first, second] = [
    await createRun(database.pool, threadId, { status: 'success' }),
    await createRun(database.pool, threadId, { status: 'success' }),
  ];
  const interruptAt = (data: string): WritePut =>
    write('c1', { idx: -3, channel: '__interrupt__', data });
  await commit(writerOf(threadId, first), [put('c1')], [interruptAt('"one"')]);
  // The second run resumes c1, is interrupted there again, and then writes c2 with a new value.
  await commit(
    writerOf(threadId, second),
    [put('c2', { parentId: 'c1' })],
    [interruptAt('"two"'), write('c1', { idx: -4, channel: '__resume__', data: '"yes"' })],
  );
  expect((await storage.read(threadId, '', 'c1'))?.writes.map(([, , , data]) => data)).toEqual([
    '"yes"',
    '"two"',
  ]);
  await deleteRunCheckpoints(database.pool, second);
  expect((await storage.read(threadId, ''))?.id).toBe('c1');
  expect((await storage.read(threadId, ''))?.writes).toEqual([
    ['t1', '__interrupt__', 'json', '"one"'],
  ]);

  // A third run keeps the value of the first, which then goes.
  const third = await createRun(database.pool, threadId);
  const head = { ...put('c1').head };
  await commit(writerOf(threadId, third), [put('c3', { head, blobs: [] })]);
  await deleteRunCheckpoints(database.pool, first);
  expect((await storage.list({ threadId })).map(({ id, blobs }) => [id, blobs])).toEqual([
    ['c3', [['x', 'json', '"c1"']]],
  ]);
});

test('values of a deleted run stay while another run of the thread may go on from them', async () => {
  const threadId = await createThread(database.pool);
  const first = await createRun(database.pool, threadId, { status: 'interrupted' });
  await commit(writerOf(threadId, first), [put('c1')]);
  // It has read c1, resumes it, and works on its first superstep.
  const second = await createRun(database.pool, threadId);
  await deleteRun(database.pool, threadId, first, EVERYTHING);
  const { head } = put('c1');
  await commit(writerOf(threadId, second), [put('c2', { head, blobs: [] })]);
  expect((await storage.read(threadId, ''))?.blobs).toEqual([['x', 'json', '"c1"']]);
});

test('a run that is not there is an error, not nothing deleted', async () => {
  await expect(deleteRunCheckpoints(database.pool, randomUUID())).rejects.toMatchObject({
    code: 'run_not_found',
  });
});

test('a copy has all states in order under its own name, and survives the original', async () => {
  const from = await createThread(database.pool);
  const to = await createThread(database.pool);
  const runId = await createRun(database.pool, from, { status: 'success' });
  const metadata = { thread_id: from, other: from };
  await commit(
    writerOf(from, runId),
    [put('c9', { metadata }), put('c1', { parentId: 'c9', metadata })],
    [write('c1')],
  );
  await copyThreadCheckpoints(database.pool, from, to);
  await deleteRunCheckpoints(database.pool, runId);
  expect(await storage.list({ threadId: from })).toEqual([]);
  await deleteThreadCheckpoints(database.pool, from);
  const copied = await storage.list({ threadId: to });
  expect(copied.map(({ id, parentId, writes }) => [id, parentId, writes])).toEqual([
    ['c1', 'c9', [['t1', 'x', 'json', '"w"']]],
    ['c9', null, []],
  ]);
  expect(copied[0]?.metadata).toEqual({ thread_id: to, other: from });
  expect(copied[0]?.blobs).toEqual([['x', 'json', '"c1"']]);
  await deleteThreadCheckpoints(database.pool, to);
  expect(await storage.list({ threadId: to })).toEqual([]);
});

/** The pool, with the first `failures` writes lost on the way. */
function flaky(failures: number): { db: Db; sent: () => number } {
  let sent = 0;
  const query = ((text: string, values: unknown[]) => {
    sent += 1;
    if (sent <= failures) return Promise.reject(new Error('Connection terminated unexpectedly'));
    return database.pool.query(text, values);
  }) as Db['query'];
  return { db: { query }, sent: () => sent };
}

test('the queue gathers what comes at once into one statement, and tries it again', async () => {
  const threadId = await createThread(database.pool);
  const { db, sent } = flaky(2);
  const queue = new CheckpointQueue(new CheckpointStorage(db), {
    writer: writerOf(threadId),
    signal: new AbortController().signal,
  });
  for (const id of ['c1', 'c2', 'c3']) {
    queue.put(put(id));
    queue.putWrite(write(id, { data: '"first"' }));
    queue.putWrite(write(id, { data: '"second"' }));
    queue.putWrite(write(id, { idx: -4, data: '"old"' }));
    queue.putWrite(write(id, { idx: -4, data: '"new"' }));
  }
  await queue.flush();
  expect(sent()).toBe(3);
  expect((await storage.read(threadId, ''))?.writes.map(([, , , data]) => data)).toEqual([
    '"new"',
    '"first"',
  ]);
});

test('a queue whose run is over stops trying and says why, once', async () => {
  const threadId = await createThread(database.pool);
  const abort = new AbortController();
  const failures: unknown[] = [];
  const queue = new CheckpointQueue(new CheckpointStorage(flaky(Infinity).db), {
    writer: writerOf(threadId),
    signal: abort.signal,
    onFailure: (error) => failures.push(error),
  });
  queue.put(put('c1'));
  const flushed = expect(queue.flush()).rejects.toThrow('Connection terminated');
  abort.abort();
  await flushed;
  queue.put(put('c2'));
  await expect(queue.flush()).rejects.toThrow('Connection terminated');
  expect(failures).toHaveLength(1);
});

test('a queue holds its graph back above its limit, until it has written', async () => {
  const threadId = await createThread(database.pool);
  const queue = new CheckpointQueue(storage, { writer: writerOf(threadId) });
  expect(queue.drained()).toBeUndefined();
  queue.put(put('c1', { value: 'x'.repeat(17 * 1024 * 1024) }));
  const drained = queue.drained();
  expect(drained).toBeDefined();
  await queue.flush();
  await drained;
  expect(queue.drained()).toBeUndefined();
});
