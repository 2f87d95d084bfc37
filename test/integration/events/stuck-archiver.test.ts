/** Nobody archives what is in Redis: the writer does not wait for ever. */
import { BUFFER_LENGTH_MAX } from '../../../src/events/writer.ts';
import { beginRun, startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { openLogWriter } from '../../support/log-writer.ts';
import { waitUntil } from '../../support/wait-until.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp({ redis: true, worker: false });
});
afterAll(() => app.stop());

test('a graph whose long events fill the buffer goes on past Redis', async () => {
  const owner = await beginRun(app);
  const { core } = app;
  const writer = openLogWriter(app, owner);
  const archivedSeq = async (): Promise<number> => {
    const { rows } = await core.pool.query<{ archived_seq: number }>(
      'SELECT archived_seq FROM threads WHERE thread_id = $1',
      [owner.threadId],
    );
    return rows[0]?.archived_seq ?? 0;
  };
  writer.emit('custom', '"first"');
  const log = core.keys.log(owner.threadId);
  // Archived, and the watermark raised: from now on the log counts as marked, so nobody is told of it.
  await waitUntil(async () => (await core.redis?.commands.hget(log.meta, 'p')) === '1', {
    timeoutMs: 20_000,
  });
  await core.redis?.commands.hset(log.meta, 'm', '1');
  const data = JSON.stringify('x'.repeat(1024 * 1024));
  let events = 0;
  for (; events * data.length <= BUFFER_LENGTH_MAX; events++) writer.emit('custom', data);
  expect(writer.drained()).toBeDefined();
  await writer.drained();
  // Not by the archiver, which would have raised the watermark.
  expect(await core.redis?.commands.hget(log.meta, 'p')).toBe('1');
  expect(await archivedSeq()).toBeGreaterThan(1);
});
