/** Marks in the hands of an archiver that has died. */
import { randomUUID } from 'node:crypto';
import { startTestApp } from '../../support/app.ts';
import { waitUntil } from '../../support/wait-until.ts';

const HOUR_MS = 3_600_000;
const GROUP = 'archivers';

test('are taken over also when the clock is set back', async () => {
  const app = await startTestApp({ redis: true, worker: false });
  const now = Date.now;
  try {
    const redis = app.core.redis?.commands;
    const [stream] = app.core.keys.dirtyStreams();
    if (redis === undefined || stream === undefined) throw new Error('no Redis');
    const empty = (what: string): Promise<unknown> =>
      waitUntil(async () => (await redis.xlen(stream)) === 0, { timeoutMs: 20_000, what });
    // The archiver is there, and has looked after the marks of others: it knows when it will again.
    await redis.xadd(stream, '1-1', 'thread', randomUUID());
    await empty('the archiver');
    Date.now = () => now() - HOUR_MS;
    // At once, so that the one that waits for marks does not get it.
    await redis
      .multi()
      .xadd(stream, '1-2', 'thread', randomUUID())
      .xreadgroup('GROUP', GROUP, 'dead', 'STREAMS', stream, '>')
      .xclaim(stream, GROUP, 'dead', 0, '1-2', 'IDLE', HOUR_MS)
      .exec();
    expect(await redis.xlen(stream)).toBe(1);
    await empty('the mark to be taken over');
  } finally {
    Date.now = now;
    await app.stop();
  }
});
