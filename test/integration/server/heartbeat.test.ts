import { Client } from '@langchain/langgraph-sdk';
import { playRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';
import { openSseClient } from '../../support/sse-client.ts';
import { waitUntil } from '../../support/wait-until.ts';

test('a quiet stream has heartbeats, which the SDK does not take for events', async () => {
  const app = await startTestServer({ redis: true, worker: false });
  try {
    const created = await app.call('POST', '/runs', { assistant_id: 'test' });
    const { run_id: runId, thread_id: threadId } = created.json() as Record<string, string>;
    const run = await playRun(app, String(runId));
    run.emit('values', { n: 0 });
    const stream = await openSseClient(`${app.url}/runs/${String(runId)}/stream`);
    const client = new Client({ apiUrl: app.url, apiKey: null });
    const parts: unknown[] = [];
    const reading = (async () => {
      for await (const part of client.runs.joinStream(threadId, String(runId))) parts.push(part);
    })();
    await waitUntil(() => stream.text.includes(': heartbeat\n'), { timeoutMs: 20_000 });
    run.emit('values', { n: 1 });
    await run.end();
    await reading;
    await waitUntil(() => stream.over, { timeoutMs: 20_000 });
    expect(stream.text).not.toContain(': heartbeat\n\n');
    expect(parts).toEqual([
      { id: '0', event: 'values', data: { n: 0 } },
      { id: '1', event: 'values', data: { n: 1 } },
    ]);
  } finally {
    await app.stop();
  }
});
