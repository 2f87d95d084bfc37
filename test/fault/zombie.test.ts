/**
 * A worker stands still for longer than its lease, its run is taken from it, and then it wakes and goes on as
 * if nothing had happened. Nothing that it writes after that may count.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { markFile, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { connectCommands } from '../../src/redis/connect.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { violationsIn } from '../support/verify.ts';
import { waitUntil } from '../support/wait-until.ts';

let cluster: Cluster;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-zombie-'));
  // The zombie hears of its loss with the next renewal: late enough that it writes before.
  cluster = await startCluster({
    workers: 2,
    env: {
      WORKER_STALL_LIMIT: '0.5',
      WORKER_HEARTBEAT_INTERVAL: '1.4',
      WORKER_HEARTBEAT_TTL: '4',
    },
  });
});
afterEach(() => {
  // Of a test that failed in between.
  for (const worker of cluster.workers.values()) worker.thaw();
});
afterAll(async () => {
  await cluster.stop();
  rmSync(folder, { recursive: true });
});

/** Attempts that wrote the thread's checkpoints, in the order of writing. */
async function checkpointAttempts(threadId: string): Promise<number[]> {
  const { rows } = await cluster.pool.query<{ attempt: number }>(
    `SELECT (metadata ->> 'run_attempt')::int AS attempt FROM checkpoints
     WHERE thread_id = $1 ORDER BY position`,
    [threadId],
  );
  return rows.map(({ attempt }) => attempt);
}

const sorted = (numbers: readonly number[]): number[] => [...numbers].sort((a, b) => a - b);

test('[2] events of a worker that wakes after its run was taken are fenced', async () => {
  const threadId = await cluster.createThread();
  const once = markFile(folder);
  const trace = markFile(folder);
  const runId = await cluster.createRun(threadId, {
    steps: 40,
    events: 15,
    eventMs: 25,
    atStep: 2,
    then: 'block',
    forMs: 9_000,
    once,
    trace,
    // More than the next attempt has written when it wakes, and 5 s of its writing besides.
    burst: 600,
  });
  const client = cluster.join(threadId, runId);
  await waitUntil(() => readFileSync(trace, 'utf8').includes('misbehaved'), {
    timeoutMs: 30_000,
    what: 'the zombie to wake',
  });
  // It has appended by now, or is about to. In Redis its events would stand in the way of the live ones.
  const before = client.events.length;
  await client.until((events) => events.length >= before + 40, 5_000);
  expect(await cluster.row(runId)).toMatchObject({ status: 'running', attempt: 2 });
  await client.end();

  const clients = [[client]];
  expect(await violationsIn(cluster, { threadId, runId, clients, expected: 600 })).toEqual([]);
  expect(await cluster.row(runId)).toMatchObject({ status: 'success', attempt: 2, failures: 1 });
  const attempts = await checkpointAttempts(threadId);
  expect(attempts).toEqual(sorted(attempts));
  // It stopped: the step it woke in was its last.
  const zombie = readFileSync(once, 'utf8');
  const steps = readFileSync(trace, 'utf8').split('\n');
  expect(steps.filter((line) => /^\d/.test(line) && line.endsWith(zombie))).toHaveLength(3);
});

test('[2] checkpoints and the end of a worker that wakes after its run has ended are refused', async () => {
  const threadId = await cluster.createThread();
  const once = markFile(folder);
  const trace = markFile(folder);
  const plan = {
    steps: 4,
    events: 0,
    atStep: 2,
    then: 'block',
    forMs: 9_000,
    once,
    trace,
  } as const;
  const runId = await cluster.createRun(threadId, plan);
  const zombie = await waitUntil(() => cluster.workerOf(runId), {
    timeoutMs: 30_000,
    what: 'a worker that has the run',
  });
  const client = cluster.join(threadId, runId);
  await client.end();
  const whole = async (): Promise<unknown> => ({
    attempts: await checkpointAttempts(threadId),
    violations: await violationsIn(cluster, { threadId, runId, clients: [[client]] }),
    row: await cluster.row(runId),
    state: (await cluster.request('GET', `/threads/${threadId}/state`)).body,
  });
  const ended = await whole();
  expect(ended).toMatchObject({ violations: [], row: { status: 'success', attempt: 2 } });

  // It wakes and goes on to the end of the graph.
  const execution = readFileSync(once, 'utf8');
  await waitUntil(() => readFileSync(trace, 'utf8').includes(`3 ${execution}`), {
    timeoutMs: 30_000,
    what: 'the zombie to go on',
  });
  // When it has done another run after that, whatever it tried to write is written or refused.
  for (const [name, worker] of cluster.workers) if (name !== zombie) worker.freeze();
  const otherThread = await cluster.createThread();
  const other = await cluster.createRun(otherThread, { steps: 3, events: 3, eventMs: 10 });
  await cluster.join(otherThread, other).end();
  for (const worker of cluster.workers.values()) worker.thaw();
  expect(await cluster.row(other)).toMatchObject({ worker_id: zombie, status: 'success' });
  expect(await whole()).toEqual(ended);
});

test('[3] a worker that is stopped for longer than its lease and continued: its run went on elsewhere, nothing of it lands', async () => {
  const threadId = await cluster.createThread();
  const runId = await cluster.createRun(threadId, { steps: 20, events: 15, eventMs: 20 });
  const client = cluster.join(threadId, runId);
  await client.until(20);
  const zombie = cluster.workers.get(await cluster.workerOf(runId));
  zombie?.freeze();
  await client.until((events) => events.filter(({ id }) => id?.endsWith('-2')).length > 20);
  zombie?.thaw();
  await client.end();
  const clients = [[client]];
  expect(await violationsIn(cluster, { threadId, runId, clients, expected: 300 })).toEqual([]);
  expect(await cluster.row(runId)).toMatchObject({ status: 'success', attempt: 2, failures: 1 });
  const attempts = await checkpointAttempts(threadId);
  expect(attempts).toEqual(sorted(attempts));
});

test('[5c] the raised fence is in what Redis lost, and the zombie wakes: its events never reach Postgres, the live term reopens', async () => {
  const redis = connectCommands({ url: cluster.redis.url, name: 'test' }, () => undefined);
  try {
    const threadId = await cluster.createThread();
    const once = markFile(folder);
    const trace = markFile(folder);
    const runId = await cluster.createRun(threadId, {
      steps: 12,
      events: 20,
      eventMs: 20,
      atStep: 2,
      then: 'block',
      // The next attempt is to begin, in a process that is started first, before it wakes.
      forMs: 14_000,
      once,
      trace,
      burst: 300,
    });
    const client = cluster.join(threadId, runId);
    const { meta, stream } = createKeys(cluster.keyPrefix).log(threadId);
    await waitUntil(() => readFileSync(trace, 'utf8').includes('blocks'), { timeoutMs: 30_000 });
    // The archive has all of it, so what was before is the fence and an empty stream.
    await waitUntil(async () => (await redis.hget(meta, 'p')) === (await redis.hget(meta, 'l')), {
      timeoutMs: 5_000,
    });
    const before = {
      meta: await redis.dumpBuffer(meta),
      last: await redis.hget(meta, 'l'),
      term: await redis.hget(meta, 't'),
    };
    // The next attempt is one that keeps its lease while it is frozen below.
    const zombie = await cluster.workerOf(runId);
    const others = [...cluster.workers].filter(([name]) => name !== zombie);
    for (const [, worker] of others) await worker.kill();
    const live = 'patient';
    await cluster.startWorker(live, { WORKER_HEARTBEAT_TTL: '60', WORKER_STALL_LIMIT: '60' });
    const seen = client.events.length;
    await client.until((events) => events.length >= seen + 10);
    expect(await cluster.workerOf(runId)).toBe(live);
    // Redis is as it was before the second attempt: the fence is the zombie's, and it is free to write.
    cluster.workers.get(live)?.freeze();
    await redis.multi().del(stream).restore(meta, 60_000, before.meta, 'REPLACE').exec();
    await waitUntil(async () => (await redis.hget(meta, 'l')) !== before.last, {
      timeoutMs: 30_000,
      what: 'the zombie to write to Redis',
    });
    expect(await redis.hget(meta, 't')).toBe(before.term);
    cluster.workers.get(live)?.thaw();
    await client.end();
    const late = cluster.join(threadId, runId);
    await late.end();
    const clients = [[client], [late]];
    expect(await violationsIn(cluster, { threadId, runId, clients, expected: 240 })).toEqual([]);
    expect(await cluster.row(runId)).toMatchObject({ status: 'success', attempt: 2, failures: 1 });
  } finally {
    redis.disconnect();
  }
});
