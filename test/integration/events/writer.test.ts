/** The writer at its edges: after the end, and when Postgres has lost what it had told to have. */
import type { LogBackend } from '../../../src/events/backend.ts';
import { createDeferred } from '../../../src/lib/deferred.ts';
import { beginRun, startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { openLogWriter } from '../../support/log-writer.ts';
import { waitUntil } from '../../support/wait-until.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp({ redis: false, worker: false });
});
afterAll(() => app.stop());

const archived = async (threadId: string): Promise<number | undefined> => {
  const { rows } = await app.core.pool.query<{ archived_seq: number }>(
    'SELECT archived_seq FROM threads WHERE thread_id = $1',
    [threadId],
  );
  return rows[0]?.archived_seq;
};

test('what a graph says after its end is not sent, though the log was just being opened', async () => {
  const owner = await beginRun(app);
  const reopened = createDeferred<number>();
  const appended: number[] = [];
  let asked = false;
  let there = false;
  const redis: LogBackend = {
    name: 'redis',
    available: () => there,
    reopen: () => {
      asked = true;
      return reopened.promise;
    },
    append: (_, first, events) => {
      const last = first + events.length - 1;
      appended.push(last);
      return Promise.resolve({ status: 'OK', last, archived: 0 });
    },
  };
  const writer = openLogWriter(app, owner, { redis });
  writer.emit('custom', '1');
  await waitUntil(async () => (await archived(owner.threadId)) === 1, { timeoutMs: 20_000 });
  there = true;
  writer.emit('custom', '2');
  await waitUntil(() => asked, { timeoutMs: 20_000 });
  expect(writer.finish().last).toBe(2);
  writer.emit('custom', '3');
  reopened.resolve(1);
  await new Promise(setImmediate);
  expect(appended).toEqual([]);
});

test('a run stops when Postgres no longer has events that it had taken', async () => {
  const owner = await beginRun(app);
  let fenced = false;
  const writer = openLogWriter(app, owner, { onFenced: () => (fenced = true) });
  for (let i = 1; i <= 3; i++) writer.emit('custom', String(i));
  await waitUntil(async () => (await archived(owner.threadId)) === 3, { timeoutMs: 20_000 });
  // A failover to a standby that was behind.
  await app.core.pool.query('DELETE FROM events WHERE thread_id = $1 AND seq > 1', [
    owner.threadId,
  ]);
  await app.core.pool.query('UPDATE threads SET archived_seq = 1 WHERE thread_id = $1', [
    owner.threadId,
  ]);
  writer.emit('custom', '4');
  await waitUntil(() => fenced, { timeoutMs: 20_000 });
});
