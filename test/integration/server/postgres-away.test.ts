import { createServer } from '../../../src/server/server.ts';
import { createPool } from '../../../src/postgres/pool.ts';
import { startPostgres } from '../../support/postgres.ts';
import { startTestServer } from '../../support/server.ts';

/** What a request may take while Postgres is away, with room for a busy machine; a connection is waited for longer (5 s). */
const LIMIT_MS = 4_500;

test.each(['frozen', 'killed'] as const)(
  'Postgres %s: requests are answered with 503 within about a second, none hangs',
  async (how) => {
    const postgres = await startPostgres();
    const app = await startTestServer({ redis: false, worker: false });
    const { rows } = await app.core.pool.query<{ url: string }>('SELECT current_database() AS url');
    expect(rows).toHaveLength(1);
    // A server of its own on a Postgres that may be broken.
    const pool = createPool(
      { url: postgres.url, connectionsMax: 3, name: 'away' },
      () => undefined,
    );
    const server = createServer({
      ...app.core,
      pool,
      graphs: { ...app.core.graphs, ids: () => [] },
      submit: { ...app.core.submit, pool },
      reader: { ...app.core.reader, db: pool },
    });
    try {
      await pool.query('SELECT 1');
      await server.start();
      if (how === 'frozen') postgres.pause();
      else await postgres.kill();
      const call = async (path: string, body?: object): Promise<[number, string, number]> => {
        const beganAt = performance.now();
        const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
          ...(body === undefined
            ? {}
            : {
                method: 'POST',
                headers: { 'content-type': 'application/json' },
                body: JSON.stringify(body),
              }),
        });
        return [response.status, await response.text(), performance.now() - beganAt];
      };
      const id = '019a0000-0000-7000-8000-000000000000';
      const answers = await Promise.all([
        call(`/threads/${id}`),
        call('/threads', {}),
        call('/runs', { assistant_id: 'x' }),
        call('/runs/wait', { assistant_id: 'x' }),
        call('/runs/stream', { assistant_id: 'x' }),
        call(`/runs/${id}/stream`),
        call('/assistants/search', {}),
        call('/ok?check_db=1'),
      ]);
      for (const [status, text, ms] of answers) {
        expect([status, text]).toEqual([503, expect.stringMatching(/^Postgres does not answer/)]);
        expect(ms).toBeLessThan(LIMIT_MS);
      }
      const [status, text] = await call('/health');
      expect(status).toBe(503);
      expect(JSON.parse(text)).toMatchObject({ status: 'unhealthy', database: 'disconnected' });
      expect((await call('/ok'))[0]).toBe(200);
    } finally {
      if (how === 'frozen') postgres.resume();
      await server.stop();
      await pool.end();
      await postgres.stop();
      await app.stop();
    }
  },
);
