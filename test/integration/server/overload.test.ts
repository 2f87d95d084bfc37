import { createPostgresGuard } from '../../../src/server/postgres-guard.ts';
import { createTestDatabase } from '../../support/postgres.ts';

test('a request that waits long for a connection is not told that Postgres is away, nor after a pause of the process', async () => {
  const database = await createTestDatabase({ connectionsMax: 1 });
  try {
    const guard = createPostgresGuard(database.pool);
    const slow = Array.from({ length: 6 }, () =>
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
    await expect(Promise.all(slow)).resolves.toHaveLength(6);
    await pause;
  } finally {
    await database.drop();
  }
});
