/** A thread that was deleted may be made again under its id: nothing of the old one stands in its way. */
import { randomUUID } from 'node:crypto';
import { claimTerm } from '../../support/app.ts';
import { openLogWriter } from '../../support/log-writer.ts';
import { playRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { openSseClient } from '../../support/sse-client.ts';
import { waitUntil } from '../../support/wait-until.ts';

let app: TestServer;
beforeAll(async () => {
  app = await startTestServer({ redis: true, worker: false });
});
afterAll(() => app.stop());

/** A run long enough to be in the log before it ends. @returns what a client saw, and the attempt */
async function run(threadId: string, says: readonly number[]): Promise<[unknown[], number]> {
  const path = `/threads/${threadId}/runs`;
  const created = await app.call('POST', path, {
    assistant_id: 'test',
    if_not_exists: 'create',
    stream_mode: 'custom',
  });
  const { run_id: runId } = created.json() as { run_id: string };
  const client = await openSseClient(`${app.url}${path}/${runId}/stream`);
  const played = await playRun(app, runId);
  for (const n of says) played.emit('custom', n);
  await waitUntil(() => client.frames.length >= says.length, {
    timeoutMs: 20_000,
    what: 'the events, which only the log can bring before the end',
  });
  await played.end();
  await waitUntil(() => client.over, { timeoutMs: 20_000 });
  return [client.frames.map(({ data }) => data), played.owner.attempt];
}

test.each([1, 2, 3])('after %i runs', async (count) => {
  const threadId = randomUUID();
  for (let n = 0; n < count; n++) await run(threadId, [1, 2, 3]);
  expect((await app.call('DELETE', `/threads/${threadId}`)).status).toBe(204);
  // Fewer than there were, more, and by both ways in which a client can name a thread.
  expect(await run(threadId, [4, 5])).toEqual([[4, 5], 1]);
  expect((await app.call('DELETE', `/threads/${threadId}`)).status).toBe(204);
  expect((await app.call('POST', '/threads', { thread_id: threadId })).status).toBe(200);
  expect(await run(threadId, [6, 7, 8, 9])).toEqual([[6, 7, 8, 9], 1]);
});

test('Redis comes back in the middle of a run, with the old thread’s log', async () => {
  const threadId = randomUUID();
  await run(threadId, [1, 2, 3]);
  expect((await app.call('DELETE', `/threads/${threadId}`)).status).toBe(204);
  const path = `/threads/${threadId}/runs`;
  const created = await app.call('POST', path, { assistant_id: 'test', if_not_exists: 'create' });
  const { run_id: runId } = created.json() as { run_id: string };
  const { redisLog } = app.core;
  if (redisLog === undefined) throw new Error('no Redis');
  let there = false;
  const writer = openLogWriter(app, await claimTerm(app, runId), {
    redis: {
      name: redisLog.name,
      available: () => there,
      append: (...given) => redisLog.append(...given),
      reopen: (...given) => redisLog.reopen(...given),
    },
  });
  const archived = async (): Promise<number | undefined> => {
    const { rows } = await app.core.pool.query<{ archived_seq: number }>(
      'SELECT archived_seq FROM threads WHERE thread_id = $1',
      [threadId],
    );
    return rows[0]?.archived_seq;
  };
  writer.emit('custom', '1');
  await waitUntil(async () => (await archived()) === 1, { timeoutMs: 20_000 });
  there = true;
  writer.emit('custom', '2');
  await waitUntil(async () => (await archived()) === 2, {
    timeoutMs: 20_000,
    what: 'the event to be archived, by way of Redis',
  });
  writer.finish();
});
