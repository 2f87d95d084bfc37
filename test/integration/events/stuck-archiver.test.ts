/** What is in Redis does not get into the archive: nobody waits for it for ever, nobody tries for ever. */
import { claimRun, startTerm } from '../../../src/runs/claim.ts';
import { BUFFER_LENGTH_MAX } from '../../../src/events/writer.ts';
import { beginRun, endRun, loseLease, startTestApp } from '../../support/app.ts';
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

test('a tail that Postgres will never take is tried once more, not for ever', async () => {
  const { core } = app;
  const commands = core.redis?.commands;
  const owner = await beginRun(app);
  const writer = openLogWriter(app, owner);
  const log = core.keys.log(owner.threadId);
  const field = (name: string): Promise<string | null | undefined> =>
    Promise.resolve(commands?.hget(log.meta, name));
  writer.emit('custom', '1');
  await waitUntil(async () => (await field('p')) === '1', { timeoutMs: 20_000 });
  await commands?.hset(log.meta, 'm', '1');
  for (let i = 2; i <= 6; i++) writer.emit('custom', String(i));
  await waitUntil(async () => (await field('l')) === '6', { timeoutMs: 20_000 });
  writer.finish();
  // The next attempt finds no Redis, and ends with one event.
  await loseLease(app, owner);
  const claim = await claimRun(core.pool, core.claimer, owner.runId);
  if (claim === undefined) throw new Error('cannot be claimed');
  const { threadId, runId, term } = claim;
  expect(await startTerm(core.pool, claim, [])).toMatchObject({ start: 2 });
  const event = { threadId, seq: 2, term, type: 'custom', data: '2' };
  await endRun(app, { ...owner, term, runId, start: 2 }, 2, [event]);
  // Redis is back, with all that it had.
  await commands?.hdel(log.meta, 'm');
  await commands?.hset(log.meta, 'm', '1');
  await commands?.xadd(log.dirty, '*', 't', threadId);
  await waitUntil(async () => (await field('p')) === '2', { timeoutMs: 20_000 });
  await waitUntil(async () => (await field('m')) === null, { timeoutMs: 20_000 });
  // As long as two rounds of the archiver take.
  for (let round = 0; round < 2; round++) {
    const other = await beginRun(app);
    openLogWriter(app, other).emit('custom', '1');
    const { meta } = core.keys.log(other.threadId);
    await waitUntil(async () => (await commands?.hget(meta, 'p')) === '1', { timeoutMs: 20_000 });
    expect(await field('m')).toBeNull();
  }
});
