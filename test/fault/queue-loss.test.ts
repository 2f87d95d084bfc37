/**
 * Wake-ups are lost, never queued, or delivered twice. The run's row decides: each run is executed, and once.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { markFile, PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { lockRows } from '../support/row-lock.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { violationsIn } from '../support/verify.ts';
import { waitUntil } from '../support/wait-until.ts';
import { createBullmqQueue } from '../../src/queue/bullmq.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-queue-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const lines = (file: string): string[] => readFileSync(file, 'utf8').trim().split('\n');

async function statuses(cluster: Cluster): Promise<Record<string, number>> {
  const { rows } = await cluster.pool.query<{ what: string; n: number }>(
    `SELECT status || ' ' || attempt AS what, count(*) AS n FROM runs GROUP BY 1`,
  );
  return Object.fromEntries(rows.map(({ what, n }) => [what, n]));
}

/** Sessions that wait for a lock. */
async function waiting(cluster: Cluster): Promise<number> {
  const { rowCount } = await cluster.pool.query(
    `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return rowCount ?? 0;
}

/** `work` for each number below `count`, a few at a time. */
async function each(count: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: 20 }, lane));
}

describe('one deployment', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster({ workers: 0, env: PATIENT });
  });
  afterEach(() => {
    // Of a test that failed in between.
    for (const worker of cluster.workers.values()) worker.thaw();
  });
  afterAll(() => cluster.stop());

  test('[7] of 1,000 queued runs whose wake-ups Redis has lost each is executed once', async () => {
    const trace = markFile(folder);
    await each(1_000, async () => {
      const { status } = await cluster.request('POST', '/runs', {
        assistant_id: 'probe',
        input: { plan: { steps: 1, events: 1, trace } },
        on_completion: 'keep',
      });
      expect(status).toBe(200);
    });
    expect(await statuses(cluster)).toEqual({ 'pending 0': 1_000 });
    await cluster.redis.flushall();
    await cluster.startWorker('w1');
    await waitUntil(async () => (await statuses(cluster))['success 1'] === 1_000, {
      timeoutMs: 120_000,
      what: '1,000 runs to succeed with their first attempt',
    });
    expect(lines(trace)).toHaveLength(1_000);
  });

  test('[70] a backlog is no loss: however often it is looked at, the queue holds no more jobs than there are runs', async () => {
    for (const worker of cluster.workers.values()) worker.freeze();
    const queue = createBullmqQueue({
      redisUrl: cluster.redis.url,
      prefix: cluster.keyPrefix,
      onTrouble: () => undefined,
      onRefused: () => undefined,
    });
    const trace = markFile(folder);
    const deepest: number[] = [];
    try {
      const before = (await queue.depth()) ?? 0;
      await each(300, () =>
        cluster.request('POST', '/runs', {
          assistant_id: 'probe',
          input: { plan: { steps: 1, events: 1, trace } },
          on_completion: 'keep',
        }),
      );
      // Overdue since 2 s, so many a sweep has looked at each of them.
      await waitUntil(
        async () => {
          deepest.push((await queue.depth()) ?? 0);
          const { rows } = await cluster.pool.query<{ age: number }>(
            `SELECT extract(epoch FROM now() - max(created_at))::float8 AS age FROM runs WHERE status = 'pending'`,
          );
          return (rows[0]?.age ?? 0) > 4;
        },
        { timeoutMs: 30_000, what: 'the backlog to be old' },
      );
      expect(Math.max(...deepest) - before).toBeLessThanOrEqual(300);
      for (const worker of cluster.workers.values()) worker.thaw();
      await waitUntil(async () => ((await statuses(cluster))['pending 0'] ?? 0) === 0, {
        timeoutMs: 60_000,
        what: 'the backlog to be worked off',
      });
      await waitUntil(() => lines(trace).length >= 300, { timeoutMs: 30_000 });
      expect(lines(trace)).toHaveLength(300);
      expect(Object.keys(await statuses(cluster))).not.toContain('error 1');
    } finally {
      await queue.stop();
    }
  });

  test('[16] a wake-up that is sent again because nobody knows whether it was sent: one job, one execution', async () => {
    const queue = createBullmqQueue({
      redisUrl: cluster.redis.url,
      prefix: cluster.keyPrefix,
      onTrouble: () => undefined,
      onRefused: () => undefined,
    });
    try {
      for (const worker of cluster.workers.values()) worker.freeze();
      const threadId = await cluster.createThread();
      const trace = markFile(folder);
      const runId = await cluster.createRun(threadId, { steps: 2, events: 5, trace });
      const again = [{ runId, attempt: 0, delayMs: 0 }];
      const sent = async (): Promise<number> => (await queue.depth()) ?? 0;
      await waitUntil(async () => (await sent()) > 0, { timeoutMs: 30_000 });
      const depth = await sent();
      for (let i = 0; i < 5; i++) queue.wake(again);
      // In the same connection, behind those five.
      queue.wake([{ runId, attempt: 99, delayMs: 0 }]);
      await waitUntil(async () => (await sent()) > depth, { timeoutMs: 30_000 });
      expect(await sent()).toBe(depth + 1);
      for (const worker of cluster.workers.values()) worker.thaw();
      const client = cluster.join(threadId, runId);
      await client.end();
      // And once more, after the claim.
      queue.wake(again);
      await waitUntil(async () => (await sent()) === 0, { timeoutMs: 30_000 });
      const evidence = { threadId, runId, clients: [[client]], expected: 10 };
      expect(await violationsIn(cluster, evidence)).toEqual([]);
      expect(lines(trace)).toHaveLength(2);
      expect(await cluster.row(runId)).toMatchObject({ status: 'success', attempt: 1 });
    } finally {
      await queue.stop();
    }
  });

  test('[18] of many wake-ups for one run, on two workers at once, one takes it', async () => {
    for (const name of ['w1', 'w2'])
      if (!cluster.workers.has(name)) await cluster.startWorker(name);
    const queue = createBullmqQueue({
      redisUrl: cluster.redis.url,
      prefix: cluster.keyPrefix,
      onTrouble: () => undefined,
      onRefused: () => undefined,
    });
    try {
      const runs: { threadId: string; runId: string; trace: string }[] = [];
      for (const worker of cluster.workers.values()) worker.freeze();
      for (let i = 0; i < 6; i++) {
        const threadId = await cluster.createThread();
        const trace = markFile(folder);
        const plan = { steps: 3, events: 5, eventMs: 5, trace };
        const runId = await cluster.createRun(threadId, plan);
        runs.push({ threadId, runId, trace });
        // The number is part of the job's id, which else would be one and the same.
        queue.wake([7, 8, 9].map((attempt) => ({ runId, attempt, delayMs: 0 })));
      }
      await waitUntil(async () => ((await queue.depth()) ?? 0) >= 20, {
        timeoutMs: 30_000,
        what: 'the wake-ups to be queued',
      });
      // Every claim finds its run pending and has to wait for the thread; then one after the other goes on.
      const release = await lockRows(
        cluster.pool,
        'threads',
        runs.map(({ threadId }) => threadId),
      );
      for (const worker of cluster.workers.values()) worker.thaw();
      await waitUntil(async () => (await waiting(cluster)) >= 12, {
        timeoutMs: 30_000,
        what: 'claims of both workers to wait',
      });
      await release();
      for (const { threadId, runId, trace } of runs) {
        const client = cluster.join(threadId, runId);
        await client.end();
        const evidence = { threadId, runId, clients: [[client]], expected: 15 };
        expect(await violationsIn(cluster, evidence)).toEqual([]);
        expect(lines(trace)).toHaveLength(3);
        expect(await cluster.row(runId)).toMatchObject({ status: 'success', attempt: 1 });
      }
      await waitUntil(async () => (await queue.depth()) === 0, {
        timeoutMs: 30_000,
        what: 'the queue to be empty',
      });
    } finally {
      await queue.stop();
    }
  });
});

test('[15] a server that dies between the commit of a run and its wake-up: the run is executed once', async () => {
  const cluster = await startCluster({ servers: 0, workers: 0, env: PATIENT });
  const proxy = await startTcpProxy({ port: cluster.redis.port });
  try {
    await cluster.startWorker('w1');
    const { process: server } = await cluster.startServer({
      REDIS_URL: `redis://127.0.0.1:${proxy.port}`,
    });
    const threadId = await cluster.createThread();
    const trace = markFile(folder);
    proxy.hold('up');
    const runId = await cluster.createRun(threadId, { steps: 2, events: 5, trace });
    await server.kill();
    proxy.cut();
    await waitUntil(async () => (await cluster.row(runId)).status === 'success', {
      timeoutMs: 30_000,
      what: 'the run to be executed',
    });
    expect(lines(trace)).toHaveLength(2);
    expect(await cluster.row(runId)).toMatchObject({ attempt: 1, failures: 0 });
  } finally {
    await cluster.stop();
    await proxy.close();
  }
});
