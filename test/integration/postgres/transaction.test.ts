import { transaction } from '../../../src/postgres/pool.ts';
import { createTestDatabase } from '../../support/postgres.ts';

test('a connection that breaks in a transaction fails the transaction, not the process', async () => {
  const { pool, drop } = await createTestDatabase();
  try {
    const unheard: unknown[] = [];
    const listener = (error: unknown): void => void unheard.push(error);
    process.on('uncaughtException', listener);
    await expect(
      transaction(pool, (db) => db.query('SELECT pg_terminate_backend(pg_backend_pid())')),
    ).rejects.toThrow();
    process.off('uncaughtException', listener);
    expect(unheard).toEqual([]);
    const { rows } = await pool.query('SELECT 1 AS one');
    expect(rows).toEqual([{ one: 1 }]);
  } finally {
    await drop();
  }
});
