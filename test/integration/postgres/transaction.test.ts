import { isTransient, transaction } from '../../../src/postgres/pool.ts';
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

test('Postgres ends a transaction whose client says nothing for a minute, and nothing else', async () => {
  const { pool, drop } = await createTestDatabase({ connectionsMax: 1 });
  const show = { text: 'SHOW idle_in_transaction_session_timeout' };
  try {
    const inside = await transaction(pool, (db) => db.query(show));
    expect(inside.rows).toEqual([{ idle_in_transaction_session_timeout: '1min' }]);
    // Of the same session.
    const after = await pool.query(show);
    expect(after.rows).toEqual([{ idle_in_transaction_session_timeout: '0' }]);
  } finally {
    await drop();
  }
});

test('whose time is over may be tried again', async () => {
  const { pool, drop } = await createTestDatabase({ connectionsMax: 1 });
  const ended = new Promise((resolve) => {
    pool.on('connect', (client) => client.once('error', resolve));
  });
  try {
    const failed: unknown = await transaction(pool, async (db) => {
      await db.query('SET LOCAL idle_in_transaction_session_timeout = 1');
      expect(isTransient(await ended)).toBe(true);
      await db.query('SELECT 1');
    }).catch((error: unknown) => error);
    expect(isTransient(failed)).toBe(true);
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  } finally {
    await drop();
  }
});
