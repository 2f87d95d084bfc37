/** Replay and live delivery are one operation: whatever the position, the reader gets the log from there. */
import type { LogOwner } from '../../../src/events/backend.ts';
import type { ArchiveRow } from '../../../src/events/archive.ts';
import { archiveRows } from '../../../src/events/archive.ts';
import { readPage } from '../../../src/events/page.ts';
import { openReader } from '../../../src/events/reader.ts';
import { publishEnd } from '../../../src/runs/publish-end.ts';
import {
  beginRun,
  claimTerm,
  createThread,
  endRun,
  loseLease,
  newRun,
  readAll,
  startTestApp,
} from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { holdArchive } from '../../support/archive-hold.ts';
import { createRun } from '../../../src/runs/create.ts';
import { rollBackRun } from '../../../src/runs/finish.ts';
import { waitUntil } from '../../support/wait-until.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp({ redis: true, worker: false });
});
afterAll(async () => {
  await app.stop();
});

const rowsOf = (owner: LogOwner, from: number, to: number): ArchiveRow[] =>
  Array.from({ length: to - from + 1 }, (_, i) => ({
    threadId: owner.threadId,
    seq: from + i,
    term: owner.term,
    type: 'custom',
    data: String(from + i),
  }));
const append = async (owner: LogOwner, from: number, to: number): Promise<void> => {
  const reply = await app.core.redisLog?.append(owner, from, rowsOf(owner, from, to));
  expect(reply?.status).toBe('OK');
};
const end = async (owner: LogOwner, last: number): Promise<void> => {
  const finished = await endRun(app, owner, last, rowsOf(owner, owner.start, last));
  expect(finished.outcome).toBe('ended');
  publishEnd(
    app.core,
    owner,
    {
      threadId: owner.threadId,
      runId: owner.runId,
      status: 'success',
      lastSeq: last,
      term: owner.term,
    },
    undefined,
    { first: last + 1, events: [] },
  );
};

/** A reader that can be watched while it reads. */
function watch(owner: LogOwner, after?: { seq: number; term: number }) {
  const seen = { seqs: [] as number[], rewinds: [] as number[], status: '' };
  const reader = openReader(
    app.core.reader,
    { threadId: owner.threadId, runId: owner.runId, after },
    {
      write(batch) {
        batch.events.forEach((_, i) => seen.seqs.push(batch.first + i));
        return undefined;
      },
      rewind(to) {
        seen.rewinds.push(to);
        return undefined;
      },
      end: (status) => (seen.status = status),
    },
  );
  return { seen, reader };
}
const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

test('events come live, the last one before the end', async () => {
  const owner = await beginRun(app);
  const { seen } = watch(owner);
  for (let i = 1; i <= 30; i += 3) await append(owner, i, i + 2);
  await end(owner, 30);
  await waitUntil(() => seen.status === 'success', { timeoutMs: 20_000 });
  expect(seen.seqs).toEqual(range(1, 30));
});

test('a page of long events is cut by their bytes, and nothing is left out', async () => {
  const owner = await beginRun(app);
  const rows = rowsOf(owner, 1, 20).map((row) => ({ ...row, data: `"${'é'.repeat(500_000)}"` }));
  await archiveRows(app.core.pool, rows);
  const from = { seq: 0, term: undefined };
  const page = await readPage(app.core.reader, owner.threadId, from, owner.runId);
  expect(page).toMatchObject({ more: true, seq: 5 });
  expect(page?.events.map(({ seq }) => seq)).toEqual(range(1, 5));
  const { seen } = watch(owner);
  await waitUntil(() => seen.seqs.length === 20, { timeoutMs: 20_000 });
  expect(seen.seqs).toEqual(range(1, 20));
});

test('a position in Redis goes on at the next event', async () => {
  const owner = await beginRun(app);
  await append(owner, 1, 10);
  const { seen } = watch(owner, { seq: 4, term: owner.term });
  await waitUntil(() => seen.seqs.length === 6, { timeoutMs: 20_000 });
  await end(owner, 10);
  await waitUntil(() => seen.status !== '', { timeoutMs: 20_000 });
  expect(seen.seqs).toEqual(range(5, 10));
});

test('a position that is trimmed from Redis reads Postgres, then Redis, with no seam', async () => {
  const owner = await beginRun(app);
  await append(owner, 1, 100);
  const log = app.core.keys.log(owner.threadId);
  await archiveRows(app.core.pool, rowsOf(owner, 1, 60));
  await app.core.scripts?.run(
    'log-archived',
    [log.meta, log.stream, log.dirty],
    [owner.threadId, 60, 60_000],
  );
  expect(await app.core.redis?.commands.xlen(log.stream)).toBeLessThanOrEqual(40);
  for (const after of [0, 30, 59, 60, 61]) {
    const { seen, reader } = watch(
      owner,
      after === 0 ? undefined : { seq: after, term: owner.term },
    );
    await waitUntil(() => seen.seqs.length === 100 - after, { timeoutMs: 20_000 });
    expect(seen.seqs).toEqual(range(after + 1, 100));
    expect(seen.rewinds).toEqual([]);
    reader.close();
  }
  await end(owner, 100);
});

test('a lost live message costs time, no event', async () => {
  const owner = await beginRun(app);
  const { seen } = watch(owner);
  await append(owner, 1, 3);
  await waitUntil(() => seen.seqs.length === 3, { timeoutMs: 20_000 });
  await app.core.redis?.subscriber.unsubscribe(app.core.keys.log(owner.threadId).live);
  await append(owner, 4, 6);
  await waitUntil(() => seen.seqs.length === 6, { timeoutMs: 20_000 });
  await end(owner, 6);
  await waitUntil(() => seen.status === 'success', { timeoutMs: 20_000 });
});

test('a client that saw events which the log lost is told so once, then reads the true log', async () => {
  const old = await beginRun(app);
  await archiveRows(app.core.pool, rowsOf(old, 1, 4));
  const hold = await holdArchive(app.core.pool, old.threadId);
  await append(old, 1, 10);
  const { seen } = watch(old);
  await waitUntil(() => seen.seqs.length === 10, { timeoutMs: 20_000 });
  const log = app.core.keys.log(old.threadId);
  await hold.caught();
  // Redis goes back in time, and the worker dies with its memory.
  await app.core.redis?.commands.del(log.meta, log.stream);
  await hold.releaseLosing();
  await loseLease(app, old);
  const now = await claimTerm(app, old.runId);
  expect(now.start).toBe(5);
  await append(now, 5, 7);
  await end(now, 7);
  await waitUntil(() => seen.status === 'success', { timeoutMs: 20_000 });
  expect(seen.rewinds).toEqual([4]);
  expect(seen.seqs).toEqual([...range(1, 10), ...range(5, 7)]);

  const back = watch(old, { seq: 9, term: old.term });
  await waitUntil(() => back.seen.status === 'success', { timeoutMs: 20_000 });
  expect(back.seen.rewinds).toEqual([4]);
  expect(back.seen.seqs).toEqual(range(5, 7));
});

test('a reader that came before the run began waits for its first event', async () => {
  const first = await beginRun(app);
  const second = newRun(app, first.threadId);
  await createRun(app.core.pool, second);
  const reading = readAll(app, { threadId: first.threadId, runId: second.runId });
  await append(first, 1, 3);
  await end(first, 3);
  const owner = await claimTerm(app, second.runId);
  await append(owner, 4, 5);
  await end(owner, 5);
  expect((await reading).events.map((event) => event.seq)).toEqual([4, 5]);
});

test('a lost end is found in the row', async () => {
  const owner = await beginRun(app);
  const { seen } = watch(owner);
  await append(owner, 1, 2);
  await waitUntil(() => seen.seqs.length === 2, { timeoutMs: 20_000 });
  await endRun(app, owner, 2, rowsOf(owner, 1, 2));
  await waitUntil(() => seen.status === 'success', { timeoutMs: 20_000 });
});

test('a slow client gets everything and holds up nobody', async () => {
  const owner = await beginRun(app);
  const slow: number[] = [];
  let release: (() => void) | undefined;
  let ended = '';
  openReader(
    app.core.reader,
    { threadId: owner.threadId, runId: owner.runId, after: undefined },
    {
      write(batch) {
        batch.events.forEach((_, i) => slow.push(batch.first + i));
        return new Promise((resolve) => (release = resolve));
      },
      rewind: () => undefined,
      end: (status) => (ended = status),
    },
  );
  const { seen } = watch(owner);
  for (let i = 1; i <= 5_000; i += 500) await append(owner, i, i + 499);
  await end(owner, 5_000);
  await waitUntil(() => seen.status === 'success', { timeoutMs: 20_000 });
  expect(seen.seqs).toEqual(range(1, 5_000));
  expect(slow.length).toBeLessThan(5_000);
  await waitUntil(
    () => {
      release?.();
      return ended === 'success';
    },
    { timeoutMs: 20_000 },
  );
  expect(slow).toEqual(range(1, 5_000));
});

test('a thread is read over the ranges of rolled-back runs, which is no rewind', async () => {
  const threadId = await createThread(app);
  const seqs: number[] = [];
  const rewinds: number[] = [];
  const reader = openReader(
    app.core.reader,
    { threadId, runId: null, after: undefined },
    {
      write(batch) {
        batch.events.forEach((_, i) => seqs.push(batch.first + i));
        return undefined;
      },
      rewind(to) {
        rewinds.push(to);
        return undefined;
      },
      end: () => undefined,
    },
  );
  const first = await beginRun(app, threadId);
  await append(first, 1, 1);
  await end(first, 1);
  await waitUntil(() => seqs.length === 1, { timeoutMs: 20_000 });
  // Its events never reached a reader.
  const second = await beginRun(app, threadId);
  await rollBackRun(app.core.pool, { ...second, lastSeq: 3 });
  app.core.signals.publish('log', threadId);
  // The next look finds the reader past the range, and its position of an earlier term.
  const third = await beginRun(app, threadId);
  expect(third.start).toBe(4);
  await append(third, 4, 5);
  await waitUntil(() => seqs.length === 3, { timeoutMs: 20_000 });
  await end(third, 5);
  app.core.signals.publish('log', threadId);
  const late: number[] = [];
  const other = openReader(
    app.core.reader,
    { threadId, runId: null, after: { seq: 1, term: first.term } },
    {
      write(batch) {
        batch.events.forEach((_, i) => late.push(batch.first + i));
        return undefined;
      },
      rewind(to) {
        rewinds.push(to);
        return undefined;
      },
      end: () => undefined,
    },
  );
  await waitUntil(() => late.length === 2, { timeoutMs: 20_000 });
  expect([seqs, late, rewinds]).toEqual([[1, 4, 5], [4, 5], []]);
  reader.close();
  other.close();
});
