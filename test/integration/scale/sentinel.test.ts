/** A real failover: the master of a run's log dies, sentinels make the replica the master, and the run goes on there. */
import { createRun } from '../../../src/runs/create.ts';
import { submitRun } from '../../../src/runs/submit.ts';
import { createThread, newRun, readAll, startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { startSentinels } from '../../support/cluster-redis.ts';
import type { TestSentinels } from '../../support/cluster-redis.ts';
import { playRun } from '../../support/play-run.ts';
import { waitUntil } from '../../support/wait-until.ts';

let sentinels: TestSentinels;
let app: TestApp;
beforeAll(async () => {
  sentinels = await startSentinels();
  app = await startTestApp({ redis: true, redisUrl: sentinels.url, worker: false });
}, 120_000);
afterAll(async () => {
  await app.stop();
  await sentinels.stop();
}, 60_000);

test('[8] a run whose Redis fails over loses no event and is told twice of none', async () => {
  const { core } = app;
  const run = newRun(app, await createThread(app));
  await createRun(core.pool, run);
  const { threadId, runId } = run;
  const last = async (): Promise<number> =>
    Number((await core.redis?.commands.hget(core.keys.log(threadId).meta, 'l')) ?? 0);
  const transcript = readAll(app, { threadId, runId });
  const played = await playRun(app, runId);
  for (let n = 0; n < 5; n++) played.emit('custom', n);
  await waitUntil(async () => (await last()) === 5, { timeoutMs: 20_000, what: 'five events' });

  const { port } = sentinels.replica;
  await sentinels.master.kill();
  for (let n = 5; n < 10; n++) played.emit('custom', n);
  await waitUntil(async () => (await sentinels.masterPort()) === port, {
    timeoutMs: 60_000,
    what: 'the replica to be the master',
  });
  for (let n = 10; n < 15; n++) played.emit('custom', n);
  await waitUntil(async () => core.redis?.commands.status === 'ready' && (await last()) >= 0, {
    timeoutMs: 60_000,
    what: 'commands to reach the new master',
  });
  // The writer comes back from the direct path by itself.
  await waitUntil(
    async () => {
      played.emit('custom', 'more');
      return (await last()) > 15;
    },
    { timeoutMs: 60_000, what: 'the log to go on in the new master' },
  );
  await played.end();
  const { events, rewinds, status } = await transcript;
  expect(status).toBe('success');
  expect(rewinds).toEqual([]);
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
  expect(events.slice(0, 15).map(({ data }) => data)).toEqual(
    Array.from({ length: 15 }, (_, n) => n),
  );
}, 240_000);

test('[8] wake-ups go to the new master, too', async () => {
  const run = newRun(app, await createThread(app));
  await submitRun(app.core.submit, run);
  await waitUntil(async () => (await app.core.queue.depth()) === 1, {
    timeoutMs: 20_000,
    what: 'the wake-up to be in the queue',
  });
  expect(
    await sentinels.replica.command('EXISTS', `{${app.core.keys.prefix}:queue}:runs:wait`),
  ).toBe(':1');
});
