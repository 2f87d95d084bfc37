/** Holds rows of a database: who wants to write them waits, as for a transaction that takes its time. */
import type { Pool } from '../../src/postgres/pool.ts';

/** A test that fails while it holds rows must not hold up the end of its file. */
const HOLD_SECONDS_MAX = 60;

/**
 * @param table its key is `<singular>_id`
 * @returns lets them go. Idempotent; also when the server has died meanwhile
 */
export async function lockRows(
  pool: Pool,
  table: 'threads' | 'runs',
  ids: readonly string[],
): Promise<() => Promise<void>> {
  const client = await pool.connect();
  let over = false;
  const giveBack = (broken: boolean): void => {
    if (!over) client.release(broken);
    over = true;
  };
  // Its session was ended: by the limit below, or with the server.
  client.on('error', () => {
    giveBack(true);
  });
  await client.query('BEGIN');
  await client.query(`SET LOCAL idle_in_transaction_session_timeout = '${HOLD_SECONDS_MAX}s'`);
  await client.query(
    `SELECT 1 FROM ${table} WHERE ${table.slice(0, -1)}_id = ANY($1) FOR NO KEY UPDATE`,
    [ids],
  );
  return async () => {
    if (over) return;
    const broken = await client.query('ROLLBACK').then(
      () => false,
      () => true,
    );
    giveBack(broken);
  };
}
