/** Holds rows of a database: who wants to write them waits, as for a transaction that takes its time. */
import type { Pool } from '../../src/postgres/pool.ts';

/**
 * @param table its key is `<singular>_id`
 * @returns lets them go; also when the server has died meanwhile
 */
export async function lockRows(
  pool: Pool,
  table: 'threads' | 'runs',
  ids: readonly string[],
): Promise<() => Promise<void>> {
  const client = await pool.connect();
  client.on('error', () => undefined);
  await client.query('BEGIN');
  await client.query(
    `SELECT 1 FROM ${table} WHERE ${table.slice(0, -1)}_id = ANY($1) FOR NO KEY UPDATE`,
    [ids],
  );
  return async () => {
    const broken = await client.query('ROLLBACK').then(
      () => false,
      () => true,
    );
    client.release(broken);
  };
}
