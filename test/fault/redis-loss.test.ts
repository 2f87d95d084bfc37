/**
 * Redis loses what it has, or an answer of it is lost. The worker still has every event that Postgres does not;
 * when the worker is lost too, who has seen more than is left is told so.
 *
 * Redis' lost second is made on purpose: it is killed after a snapshot, and comes back as of then. An
 * append-only file of a killed process is whole, because the kernel has it; only a machine loses that.
 */
import { rewindsIn } from '../support/checker.ts';
import { holdArchive } from '../support/archive-hold.ts';
import { deafenArchivers } from '../support/deaf-archivers.ts';
import { markFile, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import type { Plan } from '../support/fault-project/probe.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { violationsIn } from '../support/verify.ts';
import { waitUntil } from '../support/wait-until.ts';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let cluster: Cluster;
let folder: string;
/** Between the workers and Redis. */
let proxy: TcpProxy;
const workerEnv = (): Record<string, string> => ({ REDIS_URL: `redis://127.0.0.1:${proxy.port}` });
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-redis-loss-'));
  // One job at a time: a second run has to wait in the queue.
  cluster = await startCluster({
    workers: 0,
    env: { N_JOBS_PER_WORKER: '1', WORKER_HEARTBEAT_TTL: '4' },
  });
  proxy = await startTcpProxy({ port: cluster.redis.port });
  await cluster.startWorker('w1', workerEnv());
});
afterEach(() => {
  // Of a test that failed in between. On a connection that goes on after lost bytes answers would find other questions.
  proxy.cut();
  proxy.keep('down');
});
afterAll(async () => {
  await cluster.stop();
  await proxy.close();
  rmSync(folder, { recursive: true });
});

/** Last seq of a thread's log in Redis. */
async function lastInRedis(threadId: string): Promise<number> {
  const meta = `${cluster.keyPrefix}:{0}:log:${threadId}:meta`;
  const script = "return tonumber(redis.call('HGET', KEYS[1], 'l') or 0)";
  return Number((await cluster.redis.command('EVAL', script, '1', meta)).slice(1));
}

/** Last seq of a thread's log in Postgres. */
async function lastInPostgres(threadId: string): Promise<number> {
  const { rows } = await cluster.pool.query<{ last: number }>(
    'SELECT archived_seq AS last FROM threads WHERE thread_id = $1',
    [threadId],
  );
  return rows[0]?.last ?? 0;
}

/** Redis as it was when SAVE was called. */
async function backToSnapshot(): Promise<void> {
  await cluster.redis.kill();
  await cluster.redis.restart();
}

/** Counts to 30, is silent while things go wrong, and then goes on. */
const silentPlan = (): Plan => ({
  steps: 3,
  events: 30,
  // Time for a snapshot before the silence.
  eventMs: 60,
  atStep: 1,
  then: 'silent',
  // Time to kill Redis and start it again, on a busy machine.
  forMs: 6_000,
  once: markFile(folder),
});
/** A checkpoint would take the lost events to Postgres, and nothing would be left to be sent again. */
const WITHOUT_CHECKPOINTS = { durability: 'exit' };
/** With the first event, `metadata`. */
const BEFORE_SILENCE = 31;

test('[4] of appends whose answers are lost every event is there once', async () => {
  const threadId = await cluster.createThread();
  const runId = await cluster.createRun(threadId, { steps: 12, events: 60, eventMs: 15 });
  const client = cluster.join(threadId, runId);
  for (const from of [20, 120, 220]) {
    await client.until(from);
    const before = await lastInRedis(threadId);
    proxy.lose('down');
    const since = performance.now();
    // The answer that was under way may be the one that is lost: then no append follows it.
    await waitUntil(
      async () => (await lastInRedis(threadId)) > before || performance.now() - since > 1_000,
      { timeoutMs: 20_000 },
    );
    proxy.cut();
    proxy.keep('down');
    // Back on the way through Redis.
    const after = await lastInRedis(threadId);
    await waitUntil(async () => (await lastInRedis(threadId)) > after, { timeoutMs: 20_000 });
  }
  await client.end();
  const clients = [[client]];
  expect(await violationsIn(cluster, { threadId, runId, clients, expected: 720 })).toEqual([]);
  expect(rewindsIn([client])).toBe(0);
  expect(await cluster.row(runId)).toMatchObject({ status: 'success', attempt: 1 });
});

test('[5] when Redis comes back without its last events their worker sends them again, and no client notices', async () => {
  const threadId = await cluster.createThread();
  const until = markFile(folder);
  const plan: Plan = { ...silentPlan(), forMs: 0, until };
  const runId = await cluster.createRun(threadId, plan, WITHOUT_CHECKPOINTS);
  const client = cluster.join(threadId, runId);
  try {
    await client.until(10);
    await cluster.redis.command('SAVE');
    const hold = await holdArchive(cluster.pool, threadId);
    await client.until(BEFORE_SILENCE);
    await hold.caught();
    // It would notice at once, before anybody could see that they were lost.
    cluster.workers.get('w1')?.freeze();
    await backToSnapshot();
    expect(await lastInRedis(threadId)).toBeLessThan(BEFORE_SILENCE);
    expect(await lastInPostgres(threadId)).toBeLessThan(BEFORE_SILENCE);
    cluster.workers.get('w1')?.thaw();
    await hold.releaseLosing();
    await waitUntil(
      async () =>
        Math.max(await lastInRedis(threadId), await lastInPostgres(threadId)) === BEFORE_SILENCE,
      { timeoutMs: 30_000, what: 'the lost events, from a run that says nothing meanwhile' },
    );
    const late = cluster.join(threadId, runId, client.lastId());
    const early = { after: undefined, events: [...client.events], ended: false };
    writeFileSync(until, '');
    await client.end();
    await late.end();

    const clients = [[client], [early, late]];
    expect(await violationsIn(cluster, { threadId, runId, clients, expected: 90 })).toEqual([]);
    expect(clients.map(rewindsIn)).toEqual([0, 0]);
    expect(await cluster.row(runId)).toMatchObject({ status: 'success', attempt: 1 });
  } finally {
    // Of a test that failed in between: the only slot is not to stand still for ever.
    cluster.workers.get('w1')?.thaw();
    writeFileSync(until, '');
  }
});

test('[6] FLUSHALL in the middle of a run loses no event, and the queue is rebuilt', async () => {
  const threadId = await cluster.createThread();
  const runId = await cluster.createRun(threadId, silentPlan(), WITHOUT_CHECKPOINTS);
  const client = cluster.join(threadId, runId);
  await client.until(10);
  const queuedThread = await cluster.createThread();
  const queuedId = await cluster.createRun(queuedThread, { steps: 1, events: 5 });
  const hold = await holdArchive(cluster.pool, threadId);
  await client.until(BEFORE_SILENCE);
  await hold.caught();
  await cluster.redis.flushall();
  // Not after the release: the worker soon sends them again.
  expect(await lastInPostgres(threadId)).toBeLessThan(BEFORE_SILENCE);
  await hold.releaseLosing();
  await client.end();

  const clients = [[client]];
  expect(await violationsIn(cluster, { threadId, runId, clients, expected: 90 })).toEqual([]);
  expect(rewindsIn([client])).toBe(0);
  expect(await cluster.row(runId)).toMatchObject({ status: 'success', attempt: 1 });

  const queued = cluster.join(queuedThread, queuedId);
  await queued.end();
  expect(
    await violationsIn(cluster, {
      threadId: queuedThread,
      runId: queuedId,
      clients: [[queued]],
      expected: 5,
    }),
  ).toEqual([]);
  expect(await cluster.row(queuedId)).toMatchObject({ status: 'success', attempt: 1 });
});

test('[5b] a client that saw lost events is told by one rewind, and then gets the one true log', async () => {
  const threadId = await cluster.createThread();
  const runId = await cluster.createRun(threadId, silentPlan());
  const steady = cluster.join(threadId, runId);
  const early = cluster.join(threadId, runId);
  await early.until(10);
  await cluster.redis.command('SAVE');
  const hold = await holdArchive(cluster.pool, threadId);
  await steady.until(BEFORE_SILENCE);
  await early.until(BEFORE_SILENCE);
  await hold.caught();
  early.cut();
  await cluster.workers.get('w1')?.kill();
  await backToSnapshot();
  expect(await lastInRedis(threadId)).toBeLessThan(BEFORE_SILENCE);
  await hold.releaseLosing();
  expect(await lastInPostgres(threadId)).toBeLessThan(BEFORE_SILENCE);
  const late = cluster.join(threadId, runId, early.lastId());
  await cluster.startWorker('w2', workerEnv());
  await steady.end();
  await late.end();

  const clients = [[steady], [early, late]];
  expect(await violationsIn(cluster, { threadId, runId, clients, expected: 90 })).toEqual([]);
  expect(clients.map(rewindsIn)).toEqual([1, 1]);
  expect(await cluster.row(runId)).toMatchObject({ status: 'success', attempt: 2, failures: 1 });
});

/** What the latest checkpoint of a thread has counted. */
async function countedInPostgres(threadId: string): Promise<number> {
  const { rows } = await cluster.pool.query<{ n: number | null }>(
    `SELECT max((head -> 'inline' -> 'n' ->> 1)::integer) AS n FROM checkpoints WHERE thread_id = $1`,
    [threadId],
  );
  return rows[0]?.n ?? 0;
}

test.each([
  ['a LangGraph.js run', 'probe', 'async'],
  ['a LangGraph.js run', 'probe', 'sync'],
  ['a Pregel run', 'counter', 'async'],
])(
  '[5b] %s (%s, %s) whose worker and Redis are lost together goes on after no event that is lost',
  async (_what, assistant, durability) => {
    const threadId = await cluster.createThread();
    const plan: Plan = { steps: 18, events: 4, eventMs: 250 };
    const runId = await cluster.createRun(threadId, plan, { assistant_id: assistant, durability });
    const client = cluster.join(threadId, runId);
    await client.until(6);
    await deafenArchivers(cluster, threadId);
    const heard = await lastInRedis(threadId);
    await waitUntil(async () => (await countedInPostgres(threadId)) >= heard + 4, {
      timeoutMs: 20_000,
      what: 'a checkpoint that no archiver knows the events of',
    });
    const lost = await cluster.workerOf(runId);
    await cluster.workers.get(lost)?.kill();
    await cluster.redis.flushall();
    await cluster.startWorker(`${lost}b`, workerEnv());
    await client.end(40_000);

    expect(
      await violationsIn(cluster, {
        threadId,
        runId,
        clients: [[client]],
        expected: plan.steps * plan.events,
      }),
    ).toEqual([]);
    expect(await cluster.row(runId)).toMatchObject({ status: 'success', attempt: 2, failures: 1 });
  },
);
