import { playRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';
import { openSseClient } from '../../support/sse-client.ts';
import type { SseClient } from '../../support/sse-client.ts';
import { waitUntil } from '../../support/wait-until.ts';

const CLIENTS = 200;
const EVENTS = 400;

test('200 clients that join a run at any time get the same bytes', async () => {
  const app = await startTestServer({ redis: true, worker: false });
  try {
    const created = await app.call('POST', '/runs', { assistant_id: 'test' });
    const { run_id: runId } = created.json() as { run_id: string };
    const run = await playRun(app, runId);
    const clients: Promise<SseClient>[] = [];
    for (let n = 0; n < EVENTS; n++) {
      run.emit('values', { n, text: 'ü€𝄞'.repeat(20) });
      if (n % 2 === 0) clients.push(openSseClient(`${app.url}/runs/${runId}/stream`));
      if (n % 20 === 0) await clients.at(-1);
    }
    const streams = await Promise.all(clients);
    await run.end();
    await waitUntil(() => streams.every(({ over }) => over !== undefined), { timeoutMs: 20_000 });
    expect(streams).toHaveLength(CLIENTS);
    const [first] = streams;
    expect(first?.frames.map((frame) => frame.id)).toEqual(
      Array.from({ length: EVENTS }, (_, n) => String(n)),
    );
    // On a slow machine it takes long enough for heartbeats.
    const bytes = ({ text }: SseClient): string => text.replaceAll(': heartbeat\n', '');
    const [expected] = streams.map(bytes);
    for (const stream of streams) {
      expect(stream.over).toBe('ended');
      expect(bytes(stream) === expected).toBe(true);
    }
  } finally {
    await app.stop();
  }
});
