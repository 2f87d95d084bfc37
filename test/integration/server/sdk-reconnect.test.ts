import { Client } from '@langchain/langgraph-sdk';
import { createServer } from '../../../src/server/server.ts';
import { playRun } from '../../support/play-run.ts';
import type { PlayedRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';
import { waitUntil } from '../../support/wait-until.ts';

const EXPECTED = Array.from({ length: 6 }, (_, n) => ({
  id: String(n),
  event: 'values',
  data: { n },
}));

/** A stream of the SDK with three events read, and more to come. */
async function begin(
  app: TestServer,
  url: string,
): Promise<{ run: PlayedRun; parts: unknown[]; reading: Promise<void> }> {
  const client = new Client({ apiUrl: url, apiKey: null });
  const parts: unknown[] = [];
  let created: ((runId: string) => void) | undefined;
  const runId = new Promise<string>((resolve) => (created = resolve));
  const reading = (async () => {
    const stream = client.runs.stream(null, 'test', {
      onRunCreated: ({ run_id: id }) => created?.(id),
    });
    for await (const part of stream) parts.push(part);
  })();
  const run = await playRun(app, await runId);
  for (let n = 0; n < 3; n++) run.emit('values', { n });
  await waitUntil(() => parts.length === 3, { timeoutMs: 20_000 });
  return { run, parts, reading };
}

async function finish(run: PlayedRun, reading: Promise<void>): Promise<void> {
  for (let n = 3; n < 6; n++) run.emit('values', { n });
  await run.end();
  await reading;
}

test('the SDK comes back by itself after a cut connection and misses nothing', async () => {
  const app = await startTestServer({ redis: true, worker: false });
  const proxy = await startTcpProxy({ port: app.server.port });
  try {
    const { run, parts, reading } = await begin(app, `http://127.0.0.1:${proxy.port}`);
    proxy.cut();
    await finish(run, reading);
    expect(parts).toEqual(EXPECTED);
  } finally {
    await proxy.close();
    await app.stop();
  }
});

test('the SDK comes back by itself after a restart of the server and misses nothing', async () => {
  const app = await startTestServer({ redis: true, worker: false });
  const { port } = app.server;
  const next = createServer({ ...app.core, config: { ...app.core.config, PORT: port } });
  try {
    const { run, parts, reading } = await begin(app, app.url);
    await app.server.stop();
    await next.start();
    await finish(run, reading);
    expect(parts).toEqual(EXPECTED);
  } finally {
    await next.stop();
    await app.stop();
  }
});
