/** A connection whose other end says nothing any more: no statement waits for it for ever. */
import { createPool, isTransient, transaction } from '../../../src/postgres/pool.ts';
import { createTestDatabase } from '../../support/postgres.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';

const LIMIT_MS = 2_000;

test('a statement that is not answered fails, may be tried again, and the next has another connection', async () => {
  const database = await createTestDatabase();
  const url = new URL(database.url);
  const proxy = await startTcpProxy({ port: Number(url.port) });
  url.port = String(proxy.port);
  const pool = createPool(
    { url: url.href, connectionsMax: 1, name: 'test', queryLimitMs: LIMIT_MS },
    () => undefined,
  );
  const pid = async (): Promise<unknown> =>
    (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0];
  try {
    const before = await pid();
    proxy.hold('down');
    const error = await pid().catch((thrown: unknown) => thrown);
    expect(isTransient(error)).toBe(true);
    proxy.cut();
    proxy.flow('down');
    expect(await pid()).not.toEqual(before);
    // Its end would undo what it has done so far: it may take its time.
    await transaction(pool, (db) => db.query('SELECT pg_sleep($1)', [(1.2 * LIMIT_MS) / 1_000]));
  } finally {
    await pool.end();
    await proxy.close();
    await database.drop();
  }
});
