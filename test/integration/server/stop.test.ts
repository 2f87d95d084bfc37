import { createServer } from '../../../src/server/server.ts';
import { playRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';
import { openSseClient } from '../../support/sse-client.ts';
import { waitUntil } from '../../support/wait-until.ts';

test('a server that stops breaks its streams off, cancels nothing, and another one goes on with them', async () => {
  const app = await startTestServer({ redis: true, worker: false });
  const other = createServer(app.core);
  await other.start();
  try {
    const stream = await openSseClient(`${app.url}/runs/stream`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ assistant_id: 'test', on_disconnect: 'cancel' }),
    });
    const runId = stream.headers.get('content-location')?.split('/').at(-1) ?? '';
    const run = await playRun(app, runId);
    run.emit('values', { n: 0 });
    await waitUntil(() => stream.frames.length === 1, { timeoutMs: 20_000 });
    const waiting = fetch(`${app.url}/runs/wait`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ assistant_id: 'test', on_disconnect: 'cancel' }),
    })
      .then((response) => response.text())
      .catch((error: unknown) => error);
    await waitUntil(
      async () => {
        const { rows } = await app.core.pool.query('SELECT 1 FROM runs');
        return rows.length === 2;
      },
      { timeoutMs: 20_000 },
    );

    const beganAt = Date.now();
    await app.server.stop();
    expect(Date.now() - beganAt).toBeLessThan(7_000);
    await waitUntil(() => stream.over, { timeoutMs: 20_000 });
    expect(stream.over).toBe('broken');
    expect(await waiting).toHaveProperty('message');
    await expect(fetch(`${app.url}/ok`)).rejects.toThrow();

    const again = await openSseClient(`http://127.0.0.1:${other.port}/runs/${runId}/stream`, {
      headers: { 'last-event-id': '0' },
    });
    run.emit('values', { n: 1 });
    await run.end();
    await waitUntil(() => again.over, { timeoutMs: 20_000 });
    expect(again.frames.map((frame) => frame.id)).toEqual(['1']);
    const { rows } = await app.core.pool.query(
      'SELECT 1 FROM runs WHERE cancel_action IS NOT NULL',
    );
    expect(rows).toEqual([]);
  } finally {
    await other.stop();
    await app.stop();
  }
});
