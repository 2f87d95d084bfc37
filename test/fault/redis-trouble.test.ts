/** Redis is full, wrongly set up, away, forgetful or talks nonsense: runs and clients do not notice. */
import { connectCommands } from '../../src/redis/connect.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { markFile, PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import type { Plan } from '../support/fault-project/probe.ts';
import { expectWhole, followRun } from '../support/followed-run.ts';
import type { FollowedRun } from '../support/followed-run.ts';
import { startMillrace } from '../support/processes.ts';
import { createTempFolder, removeTempFolder } from '../support/reaper.ts';
import { startRedis } from '../support/redis.ts';
import { violationsIn } from '../support/verify.ts';
import { openVisitor } from '../support/visitor.ts';
import { waitUntil } from '../support/wait-until.ts';
import { readFileSync } from 'node:fs';

const folder = createTempFolder('marks');
let cluster: Cluster;
let redis: ReturnType<typeof connectCommands>;
beforeAll(async () => {
  cluster = await startCluster({ workers: 2, env: PATIENT });
  redis = connectCommands({ url: cluster.redis.url, name: 'test' }, () => undefined);
});
afterAll(async () => {
  redis.disconnect();
  await cluster.stop();
  removeTempFolder(folder);
});

const begin = (plan: Plan): Promise<FollowedRun> => followRun(cluster, plan);

const lines = (file: string): string[] => readFileSync(file, 'utf8').trim().split('\n');

test('[9] Redis out of memory: runs go on by the direct path, new ones are accepted, and Redis is used again afterwards', async () => {
  const run = await begin({ steps: 2, events: 700, eventMs: 10 });
  await run.visitor.now.until(20);
  await cluster.redis.command('CONFIG', 'SET', 'maxmemory', '1');
  try {
    const before = run.visitor.now.events.length;
    await run.visitor.now.until(before + 60);
    const other = await begin({ steps: 2, events: 10, eventMs: 5 });
    await expectWhole(cluster, other);
    const state = await cluster.request('GET', `/threads/${other.threadId}/state`);
    expect(state).toMatchObject({ status: 200, body: { values: { n: 20 } } });
    expect((await cluster.row(run.runId)).status).toBe('running');
  } finally {
    await cluster.redis.command('CONFIG', 'SET', 'maxmemory', '0');
  }
  await expectWhole(cluster, run);
  const next = await begin({ steps: 1, events: 400, eventMs: 10 });
  const { stream } = createKeys(cluster.keyPrefix).log(next.threadId);
  await waitUntil(async () => (await redis.xlen(stream)) > 0, {
    timeoutMs: 20_000,
    what: 'a log in Redis again',
  });
  await expectWhole(cluster, next);
});

test('[10] a Redis that evicts is refused at the start, by the name of the setting', async () => {
  const evicting = await startRedis({ maxmemoryPolicy: 'allkeys-lru' });
  try {
    const start = startMillrace(['worker'], {
      env: { DATABASE_URL: cluster.databaseUrl, REDIS_URL: evicting.url },
      readyLine: /millrace worker ready/,
    });
    await expect(start).rejects.toThrow(
      /maxmemory-policy allkeys-lru, expected noeviction(.|\n)*CONFIG SET/,
    );
  } finally {
    await evicting.stop();
  }
});

test('[11] [71] Redis away at POST: each run is accepted within a second, executed once, streamed; all before Redis is back', async () => {
  const trace = markFile(folder);
  await cluster.redis.kill();
  try {
    const runs: FollowedRun[] = [];
    for (let i = 0; i < 10; i++) {
      const from = performance.now();
      runs.push(await begin({ steps: 2, events: 5, eventMs: 5, trace }));
      // Two requests: the thread, the run.
      expect(performance.now() - from).toBeLessThan(2_000);
    }
    for (const run of runs) await expectWhole(cluster, run);
    expect(lines(trace)).toHaveLength(20);
  } finally {
    await cluster.redis.restart();
  }
  const after = await begin({ steps: 1, events: 5 });
  await expectWhole(cluster, after);
  expect(lines(trace)).toHaveLength(20);
});

test('[51] a thread that waits for a human for longer than everything in Redis lasts goes on as if nothing had been', async () => {
  const threadId = await cluster.createThread();
  const plan: Plan = { steps: 2, events: 10, eventMs: 1 };
  const runId = await cluster.createRun(threadId, plan, { interrupt_after: ['count'] });
  const first = openVisitor(`${cluster.url}/threads/${threadId}/runs/${runId}/stream`);
  await first.now.end();
  const thread = await cluster.request('GET', `/threads/${threadId}`);
  expect(thread.body).toMatchObject({ status: 'interrupted' });
  await cluster.redis.flushall();
  const nextId = await cluster.createRun(threadId, plan, { input: null });
  const next = openVisitor(`${cluster.url}/threads/${threadId}/runs/${nextId}/stream`);
  await next.now.end();
  const clients = [first.sessions];
  expect(await violationsIn(cluster, { threadId, runId, clients })).toEqual([]);
  // It counts on from where the first run stopped.
  const counts = next.now.events
    .filter(({ event }) => event === 'custom')
    .map(({ data }) => (JSON.parse(data) as { n: number }).n);
  expect(counts).toEqual(Array.from({ length: 10 }, (_, i) => 10 + i));
  expect(await cluster.archived(nextId)).toEqual(next.now.events);
  expect(await cluster.row(nextId)).toMatchObject({ status: 'success', attempt: 1 });
});

test('[67] a run that is silent for longer than everything in Redis lasts: seqs go on, live clients get every event', async () => {
  const run = await begin({
    steps: 3,
    events: 30,
    eventMs: 5,
    atStep: 1,
    then: 'silent',
    forMs: 8_000,
  });
  await run.visitor.now.until(31);
  const log = createKeys(cluster.keyPrefix).log(run.threadId);
  await waitUntil(async () => (await redis.hget(log.meta, 'p')) === '31', {
    timeoutMs: 7_000,
    what: 'the archive to have all of it',
  });
  await redis.del(log.meta, log.stream);
  await expectWhole(cluster, run);
});

test('[68] garbage on every channel is warned of, counted and passed over; listeners and workers live', async () => {
  const run = await begin({ steps: 3, events: 60, eventMs: 10 });
  await run.visitor.now.until(10);
  const keys = createKeys(cluster.keyPrefix);
  const log = keys.log(run.threadId);
  const big = 'x'.repeat(1024 * 1024);
  const end = { threadId: run.threadId, runId: run.runId, status: 'success', lastSeq: 0, term: 0 };
  const garbage = [
    '[]',
    '{"runId":',
    'null',
    '',
    '\u0000\n\t',
    '1 1 1 1 x\nno tab',
    'term',
    JSON.stringify({ ...end, lastSeq: -1 }),
    JSON.stringify({ ...end, runId: '__proto__' }),
    big,
  ];
  for (const text of garbage) {
    for (const channel of [
      keys.ends(run.threadId),
      keys.control,
      log.live,
      keys.log('nobody').live,
    ])
      await redis.publish(channel, text);
    // Postgres takes no \0 and no more than 8,000 bytes.
    if (text !== big && !text.includes('\u0000'))
      for (const channel of ['log', 'ended', 'queue', 'control', 'webhook'])
        await cluster.pool.query('SELECT pg_notify($1, $2)', [
          `${cluster.keyPrefix}_${channel}`,
          text,
        ]);
    await redis.xadd(log.dirty, '*', 't', text.slice(0, 100));
    await redis.xadd(log.dirty, '*', text.slice(0, 100) || 'f', '');
  }
  const queue = `{${cluster.keyPrefix}:queue}:runs`;
  // As BullMQ keeps its jobs: an id in the list, a hash beside it.
  for (const data of ['[]', '{"runId":"../x"}', '{', big]) {
    const id = `garbage-${data.length}`;
    await redis.hset(`${queue}:${id}`, { name: 'run', data, opts: '{}', timestamp: '1' });
    await redis.lpush(`${queue}:wait`, id);
  }
  // In front of the garbage, or behind it: it comes through.
  const other = await begin({ steps: 2, events: 20, eventMs: 5 });
  await expectWhole(cluster, run);
  await expectWhole(cluster, other);
  const metrics = await cluster.request('GET', '/metrics');
  expect(metrics.body).toMatch(
    /millrace_troubles_total\{[^}]*what="message of an end"[^}]*\} [1-9]/,
  );
  for (const { ended } of [...cluster.workers.values(), ...cluster.servers.map((s) => s.process)])
    expect(ended).toBeNull();
});
