/** Whose runs a sweep takes, and whose it leaves alone because nobody may have been able to renew. */
import { createSweeper } from '../../../src/maintenance/sweeper.ts';
import type { Sweeper, SweeperDeps } from '../../../src/maintenance/sweeper.ts';
import { createPool } from '../../../src/postgres/pool.ts';
import { requeueExpired } from '../../../src/runs/lease.ts';
import { beginRun, startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { lockRows } from '../../support/row-lock.ts';
import { waitUntil } from '../../support/wait-until.ts';

const HOUR_MS = 3_600_000;
/** Of a statement that waits for a lock which it should pass over. */
const QUERY_LIMIT_MS = 10_000;

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp({
    redis: false,
    worker: false,
    // Its own sweeper stands by.
    environment: { SWEEPER_INTERVAL: '3600' },
  });
});
afterAll(() => app.stop());

/** Sweeps when it is told to. */
function sweeperOf(given: Partial<SweeperDeps>): Sweeper {
  return createSweeper({
    ...app.core,
    intervalMs: HOUR_MS,
    leaseMs: HOUR_MS,
    cancelDeadlineMs: HOUR_MS,
    pendingTimeoutMs: 0,
    temporaryThreadTtlMs: HOUR_MS,
    expirers: [],
    ...given,
  });
}

/** A run whose lease has lapsed. */
async function lapsedRun(): Promise<{ runId: string; threadId: string }> {
  const owner = await beginRun(app);
  await app.core.pool.query(
    `UPDATE runs SET lease_expires_at = now() - interval '1 s' WHERE run_id = $1`,
    [owner.runId],
  );
  return owner;
}

async function statusOf({ runId }: { runId: string }): Promise<string | undefined> {
  const { rows } = await app.core.pool.query<{ status: string }>(
    'SELECT status FROM runs WHERE run_id = $1',
    [runId],
  );
  return rows[0]?.status;
}

async function during(sweeper: Sweeper, work: () => Promise<void>): Promise<void> {
  await sweeper.start();
  try {
    await work();
  } finally {
    await sweeper.stop();
  }
}

test('a process that has just begun takes no run: Postgres may have been away before', async () => {
  const run = await lapsedRun();
  const sweeper = sweeperOf({});
  await during(sweeper, async () => {
    await sweeper.sweep();
    expect(await statusOf(run)).toBe('running');
  });
  const later = sweeperOf({ leaseMs: 300 });
  await during(later, async () => {
    await waitUntil(
      async () => {
        await later.sweep();
        return (await statusOf(run)) === 'pending';
      },
      { timeoutMs: 20_000, what: 'the run to be taken after a lease' },
    );
  });
});

test('a clock that jumps shortens nothing', async () => {
  const run = await lapsedRun();
  const sweeper = sweeperOf({});
  const now = Date.now;
  await during(sweeper, async () => {
    Date.now = () => now() + 2 * HOUR_MS;
    try {
      await sweeper.sweep();
    } finally {
      Date.now = now;
    }
    expect(await statusOf(run)).toBe('running');
  });
});

test('when Postgres was away for what is looked at now and then, nobody could renew, either', async () => {
  const away = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
  const sweeper = sweeperOf({ expirers: [() => Promise.reject(away)], onTrouble: () => undefined });
  await sweeper.sweep();
  const run = await lapsedRun();
  await sweeper.sweep();
  expect(await statusOf(run)).toBe('running');
});

test('what fails at every sweep keeps no lost run', async () => {
  const trouble: unknown[] = [];
  const sweeper = sweeperOf({
    expirers: [() => Promise.reject(new Error('no such table'))],
    onTrouble: (_what, error) => void trouble.push(error),
  });
  await sweeper.sweep();
  expect(trouble).toHaveLength(1);
  const run = await lapsedRun();
  await sweeper.sweep();
  expect(await statusOf(run)).toBe('pending');
});

test('a thread that somebody holds keeps no run of another: the next sweep takes its own', async () => {
  const [held, free] = [await lapsedRun(), await lapsedRun()];
  const { DATABASE_URL: url } = app.core.config;
  const pool = createPool(
    { url, connectionsMax: 1, name: 'test', queryLimitMs: QUERY_LIMIT_MS },
    () => undefined,
  );
  const letGo = await lockRows(app.core.pool, 'threads', [held.threadId]);
  try {
    expect(await requeueExpired(pool)).toMatchObject([{ runId: free.runId }]);
    await letGo();
    expect(await requeueExpired(pool)).toMatchObject([{ runId: held.runId }]);
  } finally {
    await letGo();
    await pool.end();
  }
});
