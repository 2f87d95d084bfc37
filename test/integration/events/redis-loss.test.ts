/** Redis loses what it had; the log does not. The writer asks Postgres, reopens and sends again. */
import type { LogWriter } from '../../../src/events/writer.ts';
import type { LogOwner } from '../../../src/events/backend.ts';
import { readPage } from '../../../src/events/page.ts';
import { beginRun, claimTerm, loseLease, startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { startRedis } from '../../support/redis.ts';
import type { TestRedis } from '../../support/redis.ts';
import { openLogWriter } from '../../support/log-writer.ts';
import { waitUntil } from '../../support/wait-until.ts';

let redis: TestRedis;
let app: TestApp;
beforeAll(async () => {
  redis = await startRedis();
  app = await startTestApp({ redis: true, redisUrl: redis.url, worker: false });
});
afterAll(async () => {
  await app.stop();
  await redis.stop();
});

function openWriter(owner: LogOwner): { writer: LogWriter; fenced: () => boolean } {
  let fenced = false;
  const writer = openLogWriter(app, owner, { onFenced: () => (fenced = true) });
  return { writer, fenced: () => fenced };
}

const all = async (owner: LogOwner): Promise<number[]> => {
  const page = await readPage(
    app.core.reader,
    owner.threadId,
    { seq: 0, term: undefined },
    owner.runId,
  );
  return (page?.events ?? []).map((event) => Number(event.data));
};
/** What is there once so many are: a page that is read while the archiver moves events may lack some. */
const allOnce = (owner: LogOwner, count: number): Promise<number[]> =>
  waitUntil(
    async () => {
      const found = await all(owner);
      return found.length >= count ? found : undefined;
    },
    { timeoutMs: 20_000, what: `${count} events` },
  );
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);

test('FLUSHALL while a run writes loses no event', async () => {
  const owner = await beginRun(app);
  const { writer } = openWriter(owner);
  for (let i = 1; i <= 50; i++) {
    writer.emit('custom', String(i));
    if (i === 20 || i === 40) {
      await allOnce(owner, i);
      await redis.flushall();
    }
  }
  expect(await allOnce(owner, 50)).toEqual(upTo(50));
});

test('while Redis is away events go to Postgres, and to Redis again when it is back', async () => {
  const owner = await beginRun(app);
  const { writer } = openWriter(owner);
  for (let i = 1; i <= 10; i++) writer.emit('custom', String(i));
  await allOnce(owner, 10);
  await redis.kill();
  for (let i = 11; i <= 20; i++) writer.emit('custom', String(i));
  await allOnce(owner, 20);
  await redis.restart();
  await waitUntil(() => app.core.redisLog?.available() === true, { timeoutMs: 20_000 });
  const { meta } = app.core.keys.log(owner.threadId);
  let next = 21;
  // Written while it looks, because a writer returns to Redis with an event, not by itself.
  await waitUntil(
    async () => {
      writer.emit('custom', String(next++));
      return (await app.core.redis?.commands.hget(meta, 'l')) !== null;
    },
    { timeoutMs: 20_000 },
  );
  expect(await allOnce(owner, next - 1)).toEqual(upTo(next - 1));
});

test('a tail that only Redis has outlives its worker', async () => {
  const old = await beginRun(app);
  const reply = await app.core.redisLog?.append(old, 1, [{ type: 'custom', data: '1' }]);
  expect(reply?.status).toBe('OK');
  await loseLease(app, old);
  const now = await claimTerm(app, old.runId);
  expect(now.start).toBe(2);
  await redis.flushall();
  expect(await all(now)).toEqual([1]);
});

test('a worker whose term is over stops when it asks, although Redis has forgotten the fence', async () => {
  const old = await beginRun(app);
  const { writer, fenced } = openWriter(old);
  writer.emit('custom', '1');
  await allOnce(old, 1);
  await loseLease(app, old);
  const now = await claimTerm(app, old.runId);
  await redis.flushall();
  writer.emit('custom', '666');
  await waitUntil(fenced, { timeoutMs: 20_000 });
  openWriter(now).writer.emit('custom', '2');
  expect(await allOnce(now, 2)).toEqual([1, 2]);
});

test('FLUSHALL while a run is silent loses no event: the writer asks for what the archive lacks', async () => {
  const owner = await beginRun(app);
  const { writer } = openWriter(owner);
  const { commands } = app.core.redis ?? {};
  const { meta } = app.core.keys.log(owner.threadId);
  writer.emit('custom', '1');
  await waitUntil(async () => (await commands?.hget(meta, 'p')) === '1', { timeoutMs: 20_000 });
  // Counts as marked: nobody archives what follows.
  await commands?.hset(meta, 'm', '1');
  for (let i = 2; i <= 6; i++) writer.emit('custom', String(i));
  await allOnce(owner, 6);
  await redis.flushall();
  expect(await allOnce(owner, 6)).toEqual(upTo(6));
  writer.finish();
});
