import { loseLease } from '../../support/app.ts';
import { holdArchive } from '../../support/archive-hold.ts';
import { playRun } from '../../support/play-run.ts';
import { startRedis } from '../../support/redis.ts';
import { startTestServer } from '../../support/server.ts';
import { openSseClient } from '../../support/sse-client.ts';
import { waitUntil } from '../../support/wait-until.ts';

test('events that Redis and the worker lost together are taken back by a rewind, for those who stayed and those who come back', async () => {
  const redis = await startRedis();
  const app = await startTestServer({
    redis: true,
    redisUrl: redis.url,
    worker: false,
    environment: { SWEEPER_INTERVAL: '3600' },
  });
  try {
    const created = await app.call('POST', '/runs', { assistant_id: 'test' });
    const { run_id: runId, thread_id: threadId } = created.json() as Record<string, string>;
    const path = `/threads/${String(threadId)}/runs/${String(runId)}/stream`;
    const first = await playRun(app, String(runId));
    first.emit('values', { n: 0 });
    first.emit('values', { n: 1 });
    const archived = async (): Promise<number> => {
      const { rows } = await app.core.pool.query<{ archived_seq: number }>(
        'SELECT archived_seq FROM threads WHERE thread_id = $1',
        [threadId],
      );
      return rows[0]?.archived_seq ?? 0;
    };
    await waitUntil(async () => (await archived()) === 2, { timeoutMs: 20_000 });
    // From here on Postgres gets nothing of it.
    const hold = await holdArchive(app.core.pool, String(threadId));
    const stayed = await openSseClient(app.url + path);
    first.emit('values', { n: 2, lost: true });
    first.emit('values', { n: 3, lost: true });
    await waitUntil(() => stayed.frames.length === 4, { timeoutMs: 20_000 });
    await hold.caught();
    first.die();
    await redis.flushall();
    await hold.releaseLosing();
    await loseLease(app, first.owner);

    const second = await playRun(app, String(runId));
    second.emit('values', { n: 2 });
    const returned = await openSseClient(app.url + path, { headers: { 'last-event-id': '3' } });
    const behind = await openSseClient(app.url + path, { headers: { 'last-event-id': '0' } });
    await second.end();
    for (const stream of [stayed, returned, behind])
      await waitUntil(() => stream.over, { timeoutMs: 20_000 });

    const rewind = { event: 'rewind', data: { to: '1' }, id: '1' };
    const again = { event: 'values', data: { n: 2 }, id: '2-2' };
    expect(stayed.frames.slice(4)).toEqual([rewind, again]);
    expect(returned.frames).toEqual([rewind, again]);
    expect(behind.frames.map((frame) => frame.id)).toEqual(['1', '2-2']);
    expect([stayed.over, returned.over, behind.over]).toEqual(['ended', 'ended', 'ended']);
  } finally {
    await app.stop();
    await redis.stop();
  }
});
