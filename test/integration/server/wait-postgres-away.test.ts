import type { Pool } from '../../../src/postgres/pool.ts';
import { createServer } from '../../../src/server/server.ts';
import { playRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

/** The pool, refusing connections to the first three reads of an outcome. */
function flaky(pool: Pool): { pool: Pool; refused(): number } {
  let refused = 0;
  const query = (statement: unknown, values: unknown): unknown => {
    const name =
      typeof statement === 'object' && statement !== null && 'name' in statement
        ? statement.name
        : undefined;
    if (name !== 'read-outcome' || refused === 3)
      return Reflect.apply(pool.query, pool, [statement, values]);
    refused++;
    return Promise.reject(Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }));
  };
  const proxy = new Proxy(pool, {
    get: (target, key) => (key === 'query' ? query : (Reflect.get(target, key, target) as unknown)),
  });
  return { pool: proxy, refused: () => refused };
}

test('a wait outlives a Postgres that is away when the run has just ended: no error, no second run', async () => {
  const app = await startTestServer({ redis: true, worker: false });
  const { pool, refused } = flaky(app.core.pool);
  const server = createServer({ ...app.core, pool });
  try {
    await server.start();
    const answer = fetch(`http://127.0.0.1:${server.port}/runs/wait`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ assistant_id: 'test' }),
    });
    const run = await waitUntil(
      async () => {
        const { rows } = await app.core.pool.query<{ run_id: string }>('SELECT run_id FROM runs');
        return rows[0];
      },
      { timeoutMs: 20_000 },
    );
    await (await playRun(app, run.run_id)).end({ output: '{"n":1}' });
    expect(await (await answer).json()).toEqual({ n: 1 });
    expect(refused()).toBe(3);
  } finally {
    await server.stop();
    await app.stop();
  }
});
