import type { Socket } from 'node:net';
import { submitRun } from '../../../src/runs/submit.ts';
import { BUFFER_BYTES_MAX } from '../../../src/server/sse.ts';
import { createThread, newRun } from '../../support/app.ts';
import { playRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';
import { openSocket } from '../../support/v2-client.ts';
import { waitUntil } from '../../support/wait-until.ts';

const EVENTS = 400;
const TEXT = 'x'.repeat(50_000);

test('who asks and reads no answer is not asked what else it wants', async () => {
  const app = await startTestServer({ redis: false, worker: false });
  const sockets: Socket[] = [];
  app.server.http.on('connection', (socket) => sockets.push(socket));
  try {
    const socket = await openSocket(app.url, await createThread(app));
    socket.ws.pause();
    // Each is answered with an error that is longer than it.
    for (let n = 0; n < 100_000; n++) socket.ws.send('{}');
    const [accepted] = sockets;
    await waitUntil(() => (accepted?.writableLength ?? 0) > BUFFER_BYTES_MAX, {
      timeoutMs: 30_000,
    });
    let widest = 0;
    await waitUntil(
      () => {
        widest = Math.max(widest, accepted?.writableLength ?? 0);
        return accepted?.isPaused() === true;
      },
      { timeoutMs: 30_000, what: 'the server to stop listening' },
    );
    // What had been read with the last bytes is still answered.
    expect(widest).toBeLessThan(4 * BUFFER_BYTES_MAX);
    socket.ws.resume();
    await waitUntil(() => socket.messages.length === 100_000, { timeoutMs: 60_000 });
    socket.ws.terminate();
  } finally {
    await app.stop();
  }
}, 120_000);

test('[30] a socket that is not read costs a bounded buffer, holds up nobody, and gets everything in the end', async () => {
  const app = await startTestServer({ redis: true, worker: false });
  const sockets: Socket[] = [];
  app.server.http.on('connection', (socket) => sockets.push(socket));
  try {
    const threadId = await createThread(app);
    const slow = await openSocket(app.url, threadId);
    const fast = await openSocket(app.url, threadId);
    for (const socket of [slow, fast])
      await socket.send('subscription.subscribe', { channels: ['custom'] });
    slow.ws.pause();
    const { run_id: runId } = await submitRun(app.core.submit, newRun(app, threadId));
    const run = await playRun(app, runId);
    let widest = 0;
    for (let n = 0; n < EVENTS; n++) {
      run.emit('custom', { n, TEXT });
      if (n % 20 !== 19) continue;
      await waitUntil(() => fast.events.length > n - 40, { timeoutMs: 30_000 });
      widest = Math.max(widest, ...sockets.map((socket) => socket.writableLength));
    }
    await run.end();
    await waitUntil(() => fast.events.length === EVENTS, { timeoutMs: 30_000 });
    expect(slow.events.length).toBeLessThan(EVENTS / 2);
    expect(widest).toBeGreaterThan(BUFFER_BYTES_MAX);
    expect(widest).toBeLessThan(BUFFER_BYTES_MAX + 1024 * 1024);

    slow.ws.resume();
    await waitUntil(() => slow.events.length >= EVENTS, { timeoutMs: 30_000 });
    expect(slow.events.map(({ seq }) => seq)).toEqual(
      Array.from({ length: EVENTS }, (_, n) => n + 1),
    );
    slow.ws.terminate();
    fast.ws.terminate();
  } finally {
    await app.stop();
  }
}, 120_000);
