/** Double texting: what a new run does to the runs that its thread already has. */
import { EVERYTHING } from '../../../src/postgres/visibility.ts';
import { cancelRuns } from '../../../src/runs/cancel.ts';
import { claimRun } from '../../../src/runs/claim.ts';
import { createRun } from '../../../src/runs/create.ts';
import { rollBackRun } from '../../../src/runs/finish.ts';
import { nextRun } from '../../../src/runs/finish.ts';
import { ThreadBusyError, ThreadNotFoundError } from '../../../src/runs/run.ts';
import type { MultitaskStrategy } from '../../../src/runs/run.ts';
import { newId } from '../../../src/ids.ts';
import {
  beginRun,
  claimTerm,
  createThread,
  endRun,
  loseLease,
  newRun,
  startTestApp,
} from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { lockRows } from '../../support/row-lock.ts';
import { waitUntil } from '../../support/wait-until.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp({ redis: false, worker: false });
});
afterAll(async () => {
  await app.stop();
});

const create = (threadId: string, multitaskStrategy: MultitaskStrategy) =>
  createRun(app.core.pool, newRun(app, threadId, { multitaskStrategy }));
const thread = async (threadId: string) => {
  const { rows } = await app.core.pool.query<{ status: string; active_runs: number }>(
    'SELECT status, active_runs FROM threads WHERE thread_id = $1',
    [threadId],
  );
  return rows[0];
};
const statuses = async (threadId: string): Promise<string[]> => {
  const { rows } = await app.core.pool.query<{ status: string }>(
    'SELECT status FROM runs WHERE thread_id = $1 ORDER BY position',
    [threadId],
  );
  return rows.map((row) => row.status);
};

test('reject refuses while a run is active, and not after', async () => {
  const threadId = await createThread(app);
  const { run } = await create(threadId, 'reject');
  await expect(create(threadId, 'reject')).rejects.toBeInstanceOf(ThreadBusyError);
  await endRun(app, await claimTerm(app, run.run_id), 0);
  expect(await thread(threadId)).toEqual({ status: 'idle', active_runs: 0 });
  await create(threadId, 'reject');
});

test('of 20 posts at once with reject exactly one is accepted', async () => {
  const threadId = await createThread(app);
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, () => create(threadId, 'reject')),
  );
  expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
  expect(await thread(threadId)).toEqual({ status: 'busy', active_runs: 1 });
});

test('enqueue keeps the order of creation, one at a time', async () => {
  const threadId = await createThread(app);
  const created = await Promise.all(Array.from({ length: 20 }, () => create(threadId, 'enqueue')));
  const order: string[] = [];
  for (
    let next = await nextRun(app.core.pool, threadId);
    next;
    next = await nextRun(app.core.pool, threadId)
  ) {
    const others = created.map(({ run }) => run.run_id).filter((id) => id !== next.runId);
    for (const other of others.slice(0, 3))
      expect(await claimRun(app.core.pool, app.core.claimer, other)).toBeUndefined();
    const owner = await claimTerm(app, next.runId);
    order.push(next.runId);
    await endRun(app, owner, owner.start - 1);
  }
  const { rows } = await app.core.pool.query<{ run_id: string }>(
    'SELECT run_id FROM runs WHERE thread_id = $1 ORDER BY eligible_at, position',
    [threadId],
  );
  expect(order).toEqual(rows.map((row) => row.run_id));
  expect(await thread(threadId)).toEqual({ status: 'idle', active_runs: 0 });
});

test('a run behind one whose time has not come is in the ring and woken at once, and goes first', async () => {
  const threadId = await createThread(app);
  const later = newRun(app, threadId, { afterSeconds: 3_600 });
  expect((await createRun(app.core.pool, later)).waits).toBe(false);
  const now = newRun(app, threadId);
  expect((await createRun(app.core.pool, now)).waits).toBe(false);
  const ring = await app.core.pool.query<{ run_id: string }>(
    'SELECT run_id FROM runs WHERE thread_id = $1 AND ring_at IS NOT NULL',
    [threadId],
  );
  expect(ring.rows).toEqual([{ run_id: now.runId }]);
  // Its end lets in what comes after it, and tells when the other's time will be.
  const behind = newRun(app, threadId);
  expect((await createRun(app.core.pool, behind)).waits).toBe(true);
  const sooner = newRun(app, threadId, { afterSeconds: 60 });
  expect((await createRun(app.core.pool, sooner)).waits).toBe(true);
  for (const run of [now, behind]) {
    const owner = await claimTerm(app, run.runId);
    expect(
      (await createRun(app.core.pool, newRun(app, threadId, { afterSeconds: 7_200 }))).waits,
    ).toBe(true);
    expect(await endRun(app, owner, owner.start - 1)).toMatchObject({
      outcome: 'ended',
      next: { runId: run === now ? behind.runId : sooner.runId },
    });
  }
});

test('interrupt ends the pending and asks the running', async () => {
  const threadId = await createThread(app);
  const { run: running } = await create(threadId, 'enqueue');
  await claimTerm(app, running.run_id);
  await create(threadId, 'enqueue');
  const { cancelled, waits } = await create(threadId, 'interrupt');
  expect(cancelled).toEqual([{ runId: running.run_id, threadId }]);
  expect(waits).toBe(true);
  expect(await statuses(threadId)).toEqual(['running', 'interrupted', 'pending']);
  expect(await thread(threadId)).toEqual({ status: 'busy', active_runs: 2 });
});

test('rollback removes the pending, and the running one with its events', async () => {
  const threadId = await createThread(app);
  const { run: running } = await create(threadId, 'enqueue');
  const owner = await claimTerm(app, running.run_id);
  await app.core.directLog.append(owner, 1, [{ type: 'custom', data: '1' }]);
  await create(threadId, 'enqueue');
  await create(threadId, 'rollback');
  expect(await statuses(threadId)).toEqual(['running', 'pending']);
  // Its worker ends it: success is no longer possible.
  expect(await endRun(app, owner, 1)).toEqual({ outcome: 'rollback' });
  const rolledBack = await rollBackRun(app.core.pool, { ...owner, lastSeq: 1 });
  expect(rolledBack).toMatchObject({ outcome: 'ended', next: { attempt: 0 } });
  expect(await statuses(threadId)).toEqual(['pending']);
  const events = await app.core.pool.query('SELECT 1 FROM events WHERE thread_id = $1', [threadId]);
  expect(events.rows).toEqual([]);
  const voids = await app.core.pool.query(
    'SELECT first_seq, last_seq FROM voids WHERE thread_id = $1',
    [threadId],
  );
  expect(voids.rows).toEqual([{ first_seq: 1, last_seq: 1 }]);
});

test('a cancelled pending run ends at once, a finished one stays as it is', async () => {
  const threadId = await createThread(app);
  const { run } = await create(threadId, 'enqueue');
  expect(await cancelRuns(app.core.pool, threadId, [run.run_id], 'interrupt', EVERYTHING)).toEqual({
    asked: [],
    ended: [{ runId: run.run_id, threadId }],
  });
  expect(await statuses(threadId)).toEqual(['interrupted']);
  expect(await cancelRuns(app.core.pool, threadId, [run.run_id], 'rollback', EVERYTHING)).toEqual({
    asked: [],
    ended: [],
  });
  expect(await statuses(threadId)).toEqual(['interrupted']);
  expect(await thread(threadId)).toEqual({ status: 'idle', active_runs: 0 });
  expect(
    await cancelRuns(app.core.pool, threadId, [newId()], 'interrupt', EVERYTHING),
  ).toBeUndefined();
});

describe.each(['interrupted', 'error', 'idle'] as const)('a thread that is %s', (status) => {
  /** Its status is that of its last run. */
  const threadAt = async (): Promise<string> => {
    const threadId = await createThread(app);
    const { run } = await create(threadId, 'enqueue');
    const owner = await claimTerm(app, run.run_id);
    await endRun(app, owner, 0, [], { threadStatus: status });
    return threadId;
  };
  const atRest = { status, active_runs: 0 };

  test.each(['interrupt', 'rollback'] as const)(
    'is so again when runs that have not begun are cancelled: %s',
    async (action) => {
      const threadId = await threadAt();
      const runs = [await create(threadId, 'reject'), await create(threadId, 'enqueue')];
      expect(await thread(threadId)).toEqual({ status: 'busy', active_runs: 2 });
      for (const { run } of runs)
        await cancelRuns(app.core.pool, threadId, [run.run_id], action, EVERYTHING);
      expect(await thread(threadId)).toEqual(atRest);
    },
  );

  test('is so again when the run that pushed others out is cancelled', async () => {
    const threadId = await threadAt();
    await create(threadId, 'enqueue');
    const { run } = await create(threadId, 'interrupt');
    await cancelRuns(app.core.pool, threadId, [run.run_id], 'interrupt', EVERYTHING);
    expect(await thread(threadId)).toEqual(atRest);
  });

  test('is so again when its run is rolled back', async () => {
    const threadId = await threadAt();
    const { run } = await create(threadId, 'enqueue');
    const owner = await claimTerm(app, run.run_id);
    const waiting = await create(threadId, 'enqueue');
    await rollBackRun(app.core.pool, { ...owner, lastSeq: 0 });
    expect(await thread(threadId)).toEqual({ status: 'busy', active_runs: 1 });
    await cancelRuns(app.core.pool, threadId, [waiting.run.run_id], 'rollback', EVERYTHING);
    expect(await thread(threadId)).toEqual(atRest);
  });

  test('is what a run that ended made of it, when the one behind that is cancelled', async () => {
    const threadId = await createThread(app);
    const { run } = await create(threadId, 'enqueue');
    const behind = await create(threadId, 'enqueue');
    await endRun(app, await claimTerm(app, run.run_id), 0, [], { threadStatus: status });
    await cancelRuns(app.core.pool, threadId, [behind.run.run_id], 'interrupt', EVERYTHING);
    expect(await thread(threadId)).toEqual(atRest);
  });
});

test('a run for a thread that is not there is refused', async () => {
  await expect(create(newId(), 'enqueue')).rejects.toBeInstanceOf(ThreadNotFoundError);
});

test('two workers that claim one run at once: one gets it', async () => {
  const threadId = await createThread(app);
  const { run } = await create(threadId, 'enqueue');
  const claims = await Promise.all(
    Array.from({ length: 8 }, () => claimRun(app.core.pool, app.core.claimer, run.run_id)),
  );
  expect(claims.filter((claim) => claim !== undefined)).toHaveLength(1);
});

test('a run began when it was taken, not when a worker asked for it: never before the end of the one before', async () => {
  const threadId = await createThread(app);
  const run = newRun(app, threadId);
  await createRun(app.core.pool, run);
  const release = await lockRows(app.core.pool, 'threads', [threadId]);
  const claim = claimRun(app.core.pool, app.core.claimer, run.runId);
  await waitUntil(
    async () =>
      (
        await app.core.pool.query(`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'
         AND datname = current_database()`)
      ).rows.length >= 1,
    { timeoutMs: 20_000, what: 'the claim to wait for the thread' },
  );
  const { rows } = await app.core.pool.query<{ at: Date }>('SELECT clock_timestamp() AS at');
  await release();
  expect((await claim)?.runId).toBe(run.runId);
  const started = await app.core.pool.query<{ started_at: Date }>(
    'SELECT started_at FROM runs WHERE run_id = $1',
    [run.runId],
  );
  expect(Number(started.rows[0]?.started_at)).toBeGreaterThanOrEqual(Number(rows[0]?.at));
});

test('a run that has begun goes first, and at once, although Postgres has gone back in time', async () => {
  const threadId = await createThread(app);
  const begun = await beginRun(app, threadId);
  await loseLease(app, begun);
  await app.core.pool.query(
    `UPDATE runs SET eligible_at = eligible_at + interval '1 hour', due = due + interval '1 hour' WHERE run_id = $1`,
    [begun.runId],
  );
  const { run } = await create(threadId, 'enqueue');
  // Its events would stand in the middle of the other's.
  expect(await claimRun(app.core.pool, app.core.claimer, run.run_id)).toBeUndefined();
  expect((await nextRun(app.core.pool, threadId))?.runId).toBe(begun.runId);
  const again = await claimTerm(app, begun.runId);
  expect(again.attempt).toBe(2);
  await endRun(app, again, 0);
  await endRun(app, await claimTerm(app, run.run_id), 0);
});
