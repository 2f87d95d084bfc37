/** Limits that an operator has set: a statement that meets one may be tried again, and says nothing about Postgres. */
import { isTransient, transaction, wasAway } from '../../../src/postgres/pool.ts';
import type { Pool } from '../../../src/postgres/pool.ts';
import { createTestDatabase } from '../../support/postgres.ts';

const LOCK = 'SELECT pg_advisory_xact_lock(1)';

const failure = (pool: Pool, setting: string, text: string): Promise<unknown> =>
  transaction(pool, async (db) => {
    await db.query(`SET LOCAL ${setting} = 20`);
    await db.query(text);
  }).catch((error: unknown) => error);

test.each([
  ['statement_timeout', '57014'],
  ['lock_timeout', '55P03'],
])('%s', async (setting, code) => {
  const { pool, drop } = await createTestDatabase();
  try {
    await transaction(pool, async (db) => {
      await db.query(LOCK);
      const error = await failure(pool, setting, LOCK);
      expect(error).toMatchObject({ code });
      expect([isTransient(error), wasAway(error)]).toEqual([true, false]);
    });
  } finally {
    await drop();
  }
});
