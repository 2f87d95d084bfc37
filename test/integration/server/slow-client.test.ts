import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { BUFFER_BYTES_MAX } from '../../../src/server/sse.ts';
import { playRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';
import { openSseClient } from '../../support/sse-client.ts';
import { waitUntil } from '../../support/wait-until.ts';

const EVENTS = 400;
const TEXT = 'x'.repeat(50_000);

/** Reads nothing until `resume`. */
function pausedClient(port: number, path: string): { socket: Socket; text(): string } {
  const socket = connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.pause();
  socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
  return { socket, text: () => Buffer.concat(chunks).toString() };
}

test('[30] a client that does not read costs a bounded buffer, holds up nobody, and gets everything in the end', async () => {
  const app = await startTestServer({ redis: true, worker: false });
  const sockets: Socket[] = [];
  app.server.http.on('connection', (socket) => sockets.push(socket));
  try {
    const created = await app.call('POST', '/runs', { assistant_id: 'test' });
    const { run_id: runId } = created.json() as { run_id: string };
    const slow = pausedClient(app.server.port, `/runs/${runId}/stream`);
    const fast = await openSseClient(`${app.url}/runs/${runId}/stream`);
    const run = await playRun(app, runId);
    let widest = 0;
    for (let n = 0; n < EVENTS; n++) {
      run.emit('custom', { n, TEXT });
      if (n % 20 !== 19) continue;
      await waitUntil(() => fast.text.length > (n - 40) * TEXT.length, { timeoutMs: 30_000 });
      widest = Math.max(widest, ...sockets.map((socket) => socket.writableLength));
    }
    await run.end();
    await waitUntil(() => fast.over, { timeoutMs: 30_000 });
    expect(fast.frames).toHaveLength(EVENTS);
    // What was under way when it paused.
    expect(slow.socket.bytesRead).toBeLessThan(200_000);
    // Past the budget only by what was being written: one batch of the log.
    expect(widest).toBeGreaterThan(BUFFER_BYTES_MAX);
    expect(widest).toBeLessThan(BUFFER_BYTES_MAX + 1024 * 1024);

    slow.socket.resume();
    await waitUntil(() => slow.socket.closed, { timeoutMs: 30_000 });
    const ids = [...slow.text().matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]));
    expect(ids).toEqual(Array.from({ length: EVENTS }, (_, n) => n));
    expect(slow.text().endsWith('0\r\n\r\n')).toBe(true);
  } finally {
    await app.stop();
  }
}, 120_000);
