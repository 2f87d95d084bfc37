import { createPostgresGuard } from '../../../src/server/postgres-guard.ts';
import { createTestDatabase } from '../../support/postgres.ts';

test('a request that waits long for a connection is not told that Postgres is away, nor after a pause of the process', async () => {
  const database = await createTestDatabase({ connectionsMax: 1 });
  try {
    const guard = createPostgresGuard(database.pool);
    // 1.6 s, which is long for the guard; with the pause below still less than a connection is waited for, 5 s.
    const slow = Array.from({ length: 4 }, () =>
      guard.watch(database.pool.query('SELECT pg_sleep(0.4)')),
    );
    const pause = new Promise<void>((resolve) => {
      setTimeout(() => {
        // Longer than all the guard's patience.
        const until = Date.now() + 1_500;
        while (Date.now() < until);
        resolve();
      }, 550);
    });
    await expect(Promise.all(slow)).resolves.toHaveLength(4);
    await pause;
  } finally {
    await database.drop();
  }
});
