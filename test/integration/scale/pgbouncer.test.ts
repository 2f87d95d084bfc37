/** Postgres behind a real pgbouncer in transaction mode: every statement may meet another session. */
import { Annotation, START, StateGraph } from '@langchain/langgraph';
import { inspectPostgres } from '../../../src/postgres/inspect.ts';
import { createPool, transaction } from '../../../src/postgres/pool.ts';
import type { Db } from '../../../src/postgres/pool.ts';
import { submitRun } from '../../../src/runs/submit.ts';
import { createThread, newRun, readAll, startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { startPgbouncer } from '../../support/pgbouncer.ts';
import type { TestPgbouncer } from '../../support/pgbouncer.ts';
import { testPostgresUrl } from '../../support/postgres.ts';
import { describeWith } from '../../support/programs.ts';

const State = Annotation.Root({ n: Annotation<number>() });
const graph = new StateGraph(State)
  .addNode('add', ({ n }) => ({ n: n + 1 }))
  .addEdge(START, 'add')
  .compile();

const SHOW = `SELECT current_setting('idle_in_transaction_session_timeout') AS limit`;

describeWith('pgbouncer', 'pgbouncer', 'behind pgbouncer in transaction mode', (program) => {
  let pooler: TestPgbouncer;
  beforeAll(async () => {
    // Few sessions for many clients: none gets the same one twice for sure.
    pooler = await startPgbouncer(program, testPostgresUrl(), 4);
  });
  afterAll(() => pooler.stop());

  test.each([true, false])(
    '[45] runs end, streams are whole, leases are renewed (Redis: %s)',
    async (redis) => {
      const app: TestApp = await startTestApp({
        redis,
        graph,
        databaseUrl: (url) => pooler.through(url),
        environment: { WORKER_HEARTBEAT_INTERVAL: '0.2', WORKER_HEARTBEAT_TTL: '6' },
      });
      try {
        await Promise.all(
          Array.from({ length: 30 }, async (_, n) => {
            const run = newRun(app, await createThread(app), { input: { n } });
            await submitRun(app.core.submit, run);
            const { events, rewinds, status } = await readAll(app, run);
            expect({ status, rewinds }).toEqual({ status: 'success', rewinds: [] });
            expect(events.at(-1)?.data).toEqual({ n: n + 1 });
          }),
        );
        const { rows } = await app.core.pool.query<{ failures: number }>(
          'SELECT coalesce(sum(failures), 0)::int AS failures FROM runs',
        );
        expect(rows[0]?.failures).toBe(0);
      } finally {
        await app.stop();
      }
    },
  );

  test('[45] prepared statements would not work there: the setting is needed', async () => {
    const url = pooler.through(testPostgresUrl());
    const named = createPool({ url, connectionsMax: 8, name: 'named' }, () => undefined);
    const unnamed = createPool(
      { url, connectionsMax: 8, name: 'unnamed', prepare: false },
      () => undefined,
    );
    const ask = (pool: typeof named): Promise<unknown> =>
      Promise.all(
        Array.from({ length: 40 }, (_, n) =>
          pool.query({ name: 'probe', text: 'SELECT $1::int + pg_backend_pid()', values: [n] }),
        ),
      );
    await expect(ask(named)).rejects.toThrow(/prepared statement/);
    await expect(ask(unnamed)).resolves.toHaveLength(40);
    await named.end();
    await unnamed.end();
  });

  test('[45] the limit of a transaction is there, and stays in none of the sessions', async () => {
    const url = pooler.through(testPostgresUrl());
    const pool = createPool(
      { url, connectionsMax: 8, name: 'limit', prepare: false },
      () => undefined,
    );
    const shown = async (db: Db): Promise<unknown> =>
      (await db.query<{ limit: string }>(SHOW)).rows[0]?.limit;
    const twenty = (ask: () => Promise<unknown>): Promise<unknown[]> =>
      Promise.all(Array.from({ length: 20 }, ask));
    try {
      expect(new Set(await twenty(() => transaction(pool, shown)))).toEqual(new Set(['1min']));
      expect(new Set(await twenty(() => shown(pool)))).toEqual(new Set(['0']));
    } finally {
      await pool.end();
    }
  });

  test('[45] doctor tells that LISTEN does not go through it, and that it does past it', async () => {
    const through = pooler.through(testPostgresUrl());
    const wrong = await inspectPostgres(through, through);
    expect(wrong.filter(({ state }) => state === 'wrong').map(({ mend }) => mend)).toContainEqual(
      expect.stringContaining('DATABASE_DIRECT_URL'),
    );
    const right = await inspectPostgres(through, testPostgresUrl());
    expect(right.map(({ what }) => what)).toContainEqual(
      expect.stringMatching(/NOTIFY arrives after/),
    );
  });
});
