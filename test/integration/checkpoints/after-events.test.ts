/** The statement that writes a checkpoint after events: its bounds, its fence, and others that bring the same events. */
import type { CheckpointPut } from '../../../src/checkpoints/checkpoint.ts';
import { CheckpointStorage, TermFencedError } from '../../../src/checkpoints/storage.ts';
import { archiveRows } from '../../../src/events/archive.ts';
import type { ArchiveRow } from '../../../src/events/archive.ts';
import type { LogBackend, LogOwner } from '../../../src/events/backend.ts';
import { createDirectBackend } from '../../../src/events/direct-backend.ts';
import type { LogWriter } from '../../../src/events/writer.ts';
import { createDeferred } from '../../../src/lib/deferred.ts';
import { beginRun, endRun, loseLease, startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { openLogWriter } from '../../support/log-writer.ts';
import { waitUntil } from '../../support/wait-until.ts';

let app: TestApp;
let storage: CheckpointStorage;
beforeAll(async () => {
  app = await startTestApp({ redis: false, worker: false });
  storage = new CheckpointStorage(app.core.pool);
});
afterAll(() => app.stop());

/** Only the checkpoints bring anything to Postgres. */
const SILENT: LogBackend = {
  name: 'direct',
  available: () => true,
  append: () => new Promise(() => undefined),
  reopen: (_owner, archived) => Promise.resolve(archived),
};

const openWriter = (owner: LogOwner, direct: LogBackend = SILENT): LogWriter =>
  openLogWriter(app, owner, { redis: undefined, direct });

const put = (id: string): CheckpointPut => ({
  ns: '',
  id,
  parentId: null,
  head: { v: 4, ts: '2026-01-01T00:00:00.000Z', channel_versions: {}, versions_seen: {} },
  metadata: {},
  blobs: [],
});

const write = (owner: LogOwner, events: LogWriter, id: string): Promise<boolean> =>
  storage.write(owner, owner.term, { checkpoints: [put(id)], writes: [] }, true, events);

async function stored(
  owner: LogOwner,
): Promise<{ archived: number; data: string[]; ids: string[] }> {
  const { rows } = await app.core.pool.query<{ archived: number; data: string[]; ids: string[] }>(
    `SELECT archived_seq AS archived,
       ARRAY(SELECT data FROM events e WHERE e.thread_id = t.thread_id ORDER BY seq) AS data,
       ARRAY(SELECT checkpoint_id FROM checkpoints c WHERE c.thread_id = t.thread_id ORDER BY position) AS ids
     FROM threads t WHERE thread_id = $1`,
    [owner.threadId],
  );
  const row = rows[0];
  if (row === undefined) throw new Error('the thread is gone');
  return row;
}

const emit = (writer: LogWriter, from: number, to: number): void => {
  for (let n = from; n <= to; n++) writer.emit('custom', String(n));
};
const numbers = (to: number): string[] => Array.from({ length: to }, (_, i) => String(i + 1));

test('10,000 events before a checkpoint go in bounded batches, the checkpoint with the last', async () => {
  const owner = await beginRun(app);
  const writer = openWriter(owner);
  emit(writer, 1, 10_000);
  const batches: number[] = [];
  await storage.write(owner, owner.term, { checkpoints: [put('c1')], writes: [] }, true, {
    ...writer,
    taken(last) {
      batches.push(last);
      writer.taken(last);
    },
  });
  expect(batches).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((n) => n * 1_000));
  expect(await stored(owner)).toEqual({ archived: 10_000, data: numbers(10_000), ids: ['c1'] });
});

test('what a checkpoint has taken is not taken again, and stays for the readers and the end', async () => {
  const owner = await beginRun(app);
  const writer = openWriter(owner);
  emit(writer, 1, 3);
  await write(owner, writer, 'c1');
  expect(writer.unarchived()).toEqual({ rows: [], last: 3, emitted: 3 });
  emit(writer, 4, 5);
  expect(writer.unarchived()?.rows.map(({ seq }) => seq)).toEqual([4, 5]);
  await write(owner, writer, 'c2');
  expect(await stored(owner)).toMatchObject({ archived: 5, ids: ['c1', 'c2'] });
  expect(writer.finish()).toMatchObject({ first: 1, last: 5 });
});

test('of a graph that was left behind no event gets past the end of its run', async () => {
  const owner = await beginRun(app);
  const writer = openWriter(owner);
  emit(writer, 1, 2);
  const { last } = writer.finish();
  emit(writer, 3, 4);
  await write(owner, writer, 'c1');
  expect((await stored(owner)).archived).toBe(last);
  expect(await endRun(app, owner, last)).toMatchObject({ outcome: 'ended' });
});

test('what a crash of Postgres took back goes along once more', async () => {
  const owner = await beginRun(app);
  const writer = openWriter(owner);
  emit(writer, 1, 2);
  await write(owner, writer, 'c1');
  await app.core.pool.query('UPDATE threads SET archived_seq = 0 WHERE thread_id = $1', [
    owner.threadId,
  ]);
  await app.core.pool.query('DELETE FROM events WHERE thread_id = $1', [owner.threadId]);
  // Without a new event, too.
  await write(owner, writer, 'c2');
  expect(await stored(owner)).toEqual({ archived: 2, data: numbers(2), ids: ['c1', 'c2'] });
});

test('a worker whose term is over puts neither its checkpoint nor its events', async () => {
  const owner = await beginRun(app);
  const writer = openWriter(owner);
  emit(writer, 1, 1_500);
  await loseLease(app, owner);
  await beginAgain(owner);
  await expect(write(owner, writer, 'c1')).rejects.toBeInstanceOf(TermFencedError);
  expect(await stored(owner)).toEqual({ archived: 0, data: [], ids: [] });
});

async function beginAgain({ threadId }: LogOwner): Promise<void> {
  await app.core.pool.query(
    'UPDATE threads SET term = term + 1, log_term = term + 1 WHERE thread_id = $1',
    [threadId],
  );
}

test('archivers that bring the same rows of several threads at the same time: each once, nobody waits for another', async () => {
  const owners = await Promise.all([beginRun(app), beginRun(app), beginRun(app)]);
  const runs = owners.map((owner) => ({ owner, writer: openWriter(owner) }));
  const ROUNDS = 30;
  const rowsOf = (owner: LogOwner, to: number): ArchiveRow[] =>
    numbers(to).map((data, i) => ({
      threadId: owner.threadId,
      term: owner.term,
      seq: i + 1,
      type: 'custom',
      data,
    }));
  for (let round = 1; round <= ROUNDS; round++) {
    for (const { writer } of runs) emit(writer, round * 3 - 2, round * 3);
    const rows = owners.flatMap((owner) => rowsOf(owner, round * 3 - (round % 3)));
    await Promise.all([
      archiveRows(app.core.pool, rows),
      ...runs.map(({ owner, writer }) => write(owner, writer, `c${round}`)),
      archiveRows(app.core.pool, rows.toReversed()),
    ]);
  }
  for (const owner of owners)
    expect(await stored(owner)).toMatchObject({
      archived: ROUNDS * 3,
      data: numbers(ROUNDS * 3),
      ids: numbers(ROUNDS).map((n) => `c${n}`),
    });
});

test('in the strict mode an event that a checkpoint has taken along is told all the same', async () => {
  const told: number[] = [];
  const backend = createDirectBackend({
    db: app.core.pool,
    signals: app.core.signals,
    live: {
      tell(_owner, first, events) {
        events.forEach((_, i) => told.push(first + i));
        return Promise.resolve(true);
      },
    },
  });
  const begun = createDeferred();
  const gate = createDeferred();
  const owner = await beginRun(app);
  const writer = openWriter(owner, {
    ...backend,
    async append(...given) {
      begun.resolve();
      await gate.promise;
      return backend.append(...given);
    },
  });
  emit(writer, 1, 1);
  await begun.promise;
  emit(writer, 2, 3);
  await write(owner, writer, 'a');
  expect((await stored(owner)).archived).toBe(3);
  gate.resolve();
  await waitUntil(() => told.length === 3, { timeoutMs: 20_000, what: 'three events to be told' });
  expect(told).toEqual([1, 2, 3]);
});
