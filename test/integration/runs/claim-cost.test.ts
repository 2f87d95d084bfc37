/**
 * What a claim looks at does not grow with what waits, whatever Postgres believes to be there: statistics of a queue
 * are those of some other moment, mostly of an empty one.
 */
import { randomUUID } from 'node:crypto';
import { claimNextRun, claimOutside, claimRun } from '../../../src/runs/claim.ts';
import { overdueRuns } from '../../../src/runs/lease.ts';
import { admit, IN_RING } from '../../../src/runs/ring.ts';
import { transaction } from '../../../src/postgres/pool.ts';
import type { Db } from '../../../src/postgres/pool.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';

const WAITING = 2_000;
const CLAIMER = { workerId: 'worker', leaseMs: 60_000 };
/** From the sixth call on a connection may keep a plan that knows no values. */
const CALLS = 8;

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database.drop());

/** Runs on threads of their own. @param perKey in the ring; the others are outside */
async function insertRuns(count: number, status: string, keys = 1, perKey = 32): Promise<void> {
  await database.pool.query(
    `WITH r AS (
       SELECT gen_random_uuid() AS thread_id, n FROM generate_series(0, $1::int - 1) AS n
     ), t AS (
       INSERT INTO threads (thread_id, active_runs) SELECT thread_id, ($2 = 'pending')::int FROM r
     )
     INSERT INTO runs (run_id, thread_id, assistant_id, status, kwargs, multitask_strategy, created_at, updated_at,
       eligible_at, due, fair_key, ring_at)
     SELECT gen_random_uuid(), thread_id, $3, $2, '{}', 'enqueue', now(), now(), now(), now(), 'key' || n % $4::int,
       CASE WHEN $2 = 'pending' AND n / $4::int < $5::int THEN now() + n * interval '1 ms' END FROM r`,
    [count, status, randomUUID(), keys, perKey],
  );
}

/** Rows of runs and threads that `work` had Postgres look at. */
async function rowsLookedAt(work: (db: Db) => Promise<unknown>): Promise<number> {
  return transaction(database.pool, async (db) => {
    const read = async (): Promise<number> => {
      const { rows } = await db.query<{ n: number }>(
        `SELECT sum(seq_tup_read + idx_tup_fetch)::int AS n FROM pg_stat_xact_user_tables
         WHERE relname IN ('runs', 'threads')`,
      );
      return rows[0]?.n ?? 0;
    };
    const before = await read();
    await work(db);
    return (await read()) - before;
  });
}

async function worst(work: (db: Db) => Promise<unknown>): Promise<number> {
  let most = 0;
  for (let i = 0; i < CALLS; i++) most = Math.max(most, await rowsLookedAt(work));
  return most;
}

const HISTORY = 3_000;
const BELIEFS: [string, () => Promise<void>][] = [
  ['never looked', () => insertRuns(WAITING, 'pending')],
  [
    'that nothing waits',
    async () => {
      await insertRuns(HISTORY, 'success');
      await database.pool.query('ANALYZE');
      await insertRuns(WAITING, 'pending');
    },
  ],
  [
    'the truth',
    async () => {
      await insertRuns(HISTORY, 'success');
      await insertRuns(WAITING, 'pending');
      await database.pool.query('ANALYZE');
    },
  ],
  [
    'that hundreds of keys wait',
    async () => {
      await insertRuns(HISTORY, 'success');
      await insertRuns(WAITING, 'pending', 500, 2);
      await database.pool.query('ANALYZE');
    },
  ],
];

test.each(BELIEFS)('a claim of the next run: Postgres believes %s', async (_, prepare) => {
  await prepare();
  const claims: unknown[] = [];
  const looked = await worst(async (db) => claims.push(await claimNextRun(db, CLAIMER, 0)));
  expect(claims.filter((claim) => claim !== undefined)).toHaveLength(CALLS);
  expect(looked).toBeLessThan(100);
});

test.each(BELIEFS)(
  'a look for who waits too long, and nobody does: Postgres believes %s',
  async (_, prepare) => {
    await prepare();
    const claims: unknown[] = [];
    const looked = await worst(async (db) =>
      claims.push(await claimNextRun(db, CLAIMER, 3_600_000)),
    );
    expect(claims).toEqual(Array.from({ length: CALLS }, () => undefined));
    // The ring, which has a few runs of each key, and no other run.
    const { rows } = await database.pool.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM runs WHERE ${IN_RING('runs')}`,
    );
    expect(looked).toBeLessThan(50 + (rows[0]?.n ?? 0));
  },
);

test.each(BELIEFS)('a claim of a given run: Postgres believes %s', async (_, prepare) => {
  await prepare();
  const { rows } = await database.pool.query<{ run_id: string }>(
    `SELECT run_id FROM runs WHERE status = 'pending' ORDER BY ring_at LIMIT ${CALLS}`,
  );
  const claims: unknown[] = [];
  const looked = await worst(async (db) =>
    claims.push(await claimRun(db, CLAIMER, rows.shift()?.run_id ?? '')),
  );
  expect(claims.filter((claim) => claim !== undefined)).toHaveLength(CALLS);
  expect(looked).toBeLessThan(100);
});

test.each(BELIEFS)('a claim outside the ring: Postgres believes %s', async (_, prepare) => {
  await prepare();
  const claims: unknown[] = [];
  // Those in the ring are passed over, which is the price of a look that should find nothing.
  const looked = await worst(async (db) => claims.push(await claimOutside(db, CLAIMER, 0)));
  expect(claims.filter((claim) => claim !== undefined)).toHaveLength(CALLS);
  expect(looked).toBeLessThan(1_500);
});

test.each(BELIEFS)('who enters the ring: Postgres believes %s', async (belief, prepare) => {
  await prepare();
  const looked = await worst(async (db) => {
    await admit(db, ['key0']);
    const { rowCount } = await db.query(
      `UPDATE runs SET ring_at = NULL WHERE run_id IN (
         SELECT run_id FROM runs WHERE fair_key = 'key0' AND ${IN_RING('runs')} ORDER BY priority, ring_at LIMIT 20)`,
    );
    expect(rowCount).toBeGreaterThan(0);
  });
  // Before the first ANALYZE it sorts all of the key.
  expect(looked).toBeLessThan(belief === 'never looked' ? WAITING * 3 : 500);
});

test.each(BELIEFS)('the look for lost wake-ups: Postgres believes %s', async (_, prepare) => {
  await prepare();
  // A few rows for each that it gives back.
  const found: number[] = [];
  const looked = await worst(async (db) => found.push((await overdueRuns(db, 0)).length));
  expect(Math.min(...found)).toBe(WAITING);
  expect(looked).toBeLessThan(WAITING * 4);
});
