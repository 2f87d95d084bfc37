import { request } from 'node:http';
import type { Socket } from 'node:net';
import { playRun } from '../../support/play-run.ts';
import { lockRows } from '../../support/row-lock.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { openSseClient } from '../../support/sse-client.ts';
import { waitUntil } from '../../support/wait-until.ts';

describe('a client that goes', () => {
  let app: TestServer;
  beforeAll(async () => {
    app = await startTestServer({ redis: true, worker: false });
  });
  afterAll(() => app.stop());

  const newThread = async (): Promise<string> =>
    ((await app.call('POST', '/threads', {})).json() as { thread_id: string }).thread_id;
  const runOf = (threadId: string): Promise<{ run_id: string; cancel_action: string | null }> =>
    waitUntil(
      async () => {
        const { rows } = await app.core.pool.query<{
          run_id: string;
          cancel_action: string | null;
        }>('SELECT run_id, cancel_action FROM runs WHERE thread_id = $1', [threadId]);
        return rows[0];
      },
      { timeoutMs: 20_000 },
    );
  const post = (body: object): RequestInit => ({
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ assistant_id: 'test', ...body }),
  });
  const clients = async (): Promise<number> =>
    (await app.core.metrics.sseClients.get()).values[0]?.value ?? 0;

  test('from a stream with on_disconnect: cancel stops its run', async () => {
    const threadId = await newThread();
    const stream = await openSseClient(
      `${app.url}/threads/${threadId}/runs/stream`,
      post({ on_disconnect: 'cancel' }),
    );
    expect(stream.headers.get('location')).toContain('/stream?cancel_on_disconnect=1');
    const { run_id: runId } = await runOf(threadId);
    const run = await playRun(app, runId);
    expect(await clients()).toBe(1);
    stream.close();
    await waitUntil(async () => (await runOf(threadId)).cancel_action === 'interrupt', {
      timeoutMs: 20_000,
    });
    await run.end({ status: 'interrupted' });
    expect(await clients()).toBe(0);
  });

  test('from a stream without it does not, nor does the orderly end of one with it', async () => {
    const [left, stayed] = [await newThread(), await newThread()];
    const leaving = await openSseClient(`${app.url}/threads/${left}/runs/stream`, post({}));
    const staying = await openSseClient(
      `${app.url}/threads/${stayed}/runs/stream`,
      post({ on_disconnect: 'cancel' }),
    );
    const runs = await Promise.all(
      [left, stayed].map(async (threadId) => playRun(app, (await runOf(threadId)).run_id)),
    );
    leaving.close();
    for (const run of runs) await run.end();
    await waitUntil(() => staying.over, { timeoutMs: 20_000 });
    await waitUntil(async () => (await clients()) === 0, { timeoutMs: 20_000 });
    expect((await runOf(left)).cancel_action).toBeNull();
    expect((await runOf(stayed)).cancel_action).toBeNull();
  });

  test('from a join with cancel_on_disconnect stops the run', async () => {
    const threadId = await newThread();
    await app.call('POST', `/threads/${threadId}/runs`, { assistant_id: 'test' });
    const { run_id: runId } = await runOf(threadId);
    const run = await playRun(app, runId);
    const stream = await openSseClient(
      `${app.url}/threads/${threadId}/runs/${runId}/stream?cancel_on_disconnect=1`,
    );
    stream.close();
    await waitUntil(async () => (await runOf(threadId)).cancel_action === 'interrupt', {
      timeoutMs: 20_000,
    });
    await run.end({ status: 'interrupted' });
  });

  test.each(['wait', 'stream'])('while its run is being made stops it as well: %s', async (how) => {
    const threadId = await newThread();
    const release = await lockRows(app.core.pool, 'threads', [threadId]);
    try {
      const sockets = new Set<Socket>();
      app.server.http.on('connection', (socket: Socket) => sockets.add(socket));
      const leaving = request(`${app.url}/threads/${threadId}/runs/${how}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        agent: false,
      });
      leaving.on('error', () => undefined);
      leaving.end(JSON.stringify({ assistant_id: 'test', on_disconnect: 'cancel' }));
      await waitUntil(
        async () => {
          const { rows } = await app.core.pool.query(
            `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
          );
          return rows.length > 0;
        },
        { timeoutMs: 20_000, what: 'the creation to wait for the thread' },
      );
      leaving.destroy();
      await waitUntil(() => [...sockets].every((socket) => socket.destroyed), {
        timeoutMs: 20_000,
        what: 'the server to see it go',
      });
    } finally {
      await release();
    }
    // Nobody has begun it: its cancel ends it.
    await waitUntil(
      async () => {
        const { rows } = await app.core.pool.query<{ status: string }>(
          'SELECT status FROM runs WHERE thread_id = $1',
          [threadId],
        );
        return rows[0]?.status === 'interrupted';
      },
      { timeoutMs: 20_000, what: 'the run to be cancelled' },
    );
  });

  test('from a wait with on_disconnect: cancel stops its run', async () => {
    const threadId = await newThread();
    const waiting = request(`${app.url}/threads/${threadId}/runs/wait`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    });
    waiting.on('error', () => undefined);
    waiting.end(JSON.stringify({ assistant_id: 'test', on_disconnect: 'cancel' }));
    const { run_id: runId } = await runOf(threadId);
    const run = await playRun(app, runId);
    waiting.destroy();
    await waitUntil(async () => (await runOf(threadId)).cancel_action === 'interrupt', {
      timeoutMs: 20_000,
    });
    await run.end({ status: 'interrupted' });
  });
});
