/**
 * A master of a Redis Cluster is killed in the middle of runs: its replica takes over, or its slots are gone for a while, alone
 * or with the whole cluster. It has the logs of some runs, wake-ups of others and maybe the channels of all.
 */
import { createKeys } from '../../src/redis/keys.ts';
import { connectCommands } from '../../src/redis/connect.ts';
import type { Redis } from '../../src/redis/connect.ts';
import { rewindsIn } from '../support/checker.ts';
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { startRedisCluster } from '../support/cluster-redis.ts';
import type { RedisClusterOptions, TestRedisCluster } from '../support/cluster-redis.ts';
import type { Plan } from '../support/fault-project/probe.ts';
import type { TestRedis } from '../support/redis.ts';
import { violationsIn } from '../support/verify.ts';
import { openVisitor } from '../support/visitor.ts';
import type { Visitor } from '../support/visitor.ts';
import { waitUntil } from '../support/wait-until.ts';

const SHARDS = 8;
/** Six seconds of events, longer than a cluster needs to agree that a node is gone. */
const LONG: Plan = { steps: 4, events: 100, eventMs: 15 };

let nodes: TestRedisCluster;
let cluster: Cluster;
let redis: Redis;

async function start(options: RedisClusterOptions): Promise<void> {
  nodes = await startRedisCluster(options);
  redis = connectCommands({ url: nodes.url, name: 'test' }, () => undefined);
  cluster = await startCluster({
    redis: false,
    workers: 2,
    env: { ...PATIENT, REDIS_URL: nodes.url, REDIS_LOG_SHARDS: String(SHARDS) },
  });
}
afterEach(async () => {
  redis.disconnect();
  await cluster.stop();
  await nodes.stop();
});

const keys = () => createKeys(cluster.keyPrefix, SHARDS);
const masterOfLog = (threadId: string): TestRedis =>
  nodes.masterOf(String(keys().shardOf(threadId)));

interface Followed {
  threadId: string;
  runId: string;
  visitor: Visitor;
  expected: number;
}

async function begin(plan: Plan, threadId?: string): Promise<Followed> {
  const thread = threadId ?? (await cluster.createThread());
  const runId = await cluster.createRun(thread, plan);
  const visitor = openVisitor(`${cluster.url}/threads/${thread}/runs/${runId}/stream`);
  return { threadId: thread, runId, visitor, expected: plan.steps * plan.events };
}

/** A run under way on each shard, so that logs of every master are being written. */
async function beginOnEveryShard(): Promise<Followed[]> {
  const threads = new Map<number, string>();
  while (threads.size < SHARDS) {
    const threadId = await cluster.createThread();
    threads.set(keys().shardOf(threadId), threadId);
  }
  const runs = await Promise.all([...threads.values()].map((threadId) => begin(LONG, threadId)));
  for (const { visitor } of runs) await visitor.now.until(20);
  return runs;
}

async function expectWhole(run: Followed): Promise<void> {
  await run.visitor.now.end();
  const clients = [run.visitor.sessions];
  expect(await violationsIn(cluster, { ...run, clients })).toEqual([]);
  expect(rewindsIn([run.visitor.now])).toBe(0);
  expect(await cluster.row(run.runId)).toMatchObject({
    status: 'success',
    attempt: 1,
    failures: 0,
  });
}

/** Events of every shard's logs go through Redis again. */
async function expectUsedAgain(): Promise<void> {
  const seen = new Set<number>();
  await waitUntil(
    async () => {
      const run = await begin({ steps: 1, events: 40, eventMs: 5 });
      const { meta } = keys().log(run.threadId);
      await run.visitor.now.until(20);
      const last = await redis.hget(meta, 'l').catch(() => null);
      await expectWhole(run);
      if (last !== null) seen.add(keys().shardOf(run.threadId));
      return seen.size === SHARDS;
    },
    { timeoutMs: 60_000, what: 'every shard to be used again' },
  );
}

test('[C1] a master is killed and its replica takes over: runs go on, no event is lost or told twice, and cancels are heard', async () => {
  await start({ replicas: true });
  const runs = await beginOnEveryShard();
  const lost = masterOfLog(runs[0]?.threadId ?? '');
  await lost.kill();
  // Some of their wake-ups belong to the dead master.
  const during = await Promise.all(
    Array.from({ length: 8 }, () => begin({ steps: 1, events: 20, eventMs: 5 })),
  );
  for (const run of [...runs, ...during]) await expectWhole(run);
  await nodes.whole([lost]);
  await expectUsedAgain();

  const cancelled = await begin({ steps: 1, events: 1, atStep: 0, then: 'nested', forMs: 60_000 });
  await waitUntil(async () => (await cluster.row(cancelled.runId)).status === 'running', {
    timeoutMs: 20_000,
    what: 'the run to begin',
  });
  const node = nodes.masters.find((master) => master !== lost);
  await waitUntil(
    async () => {
      // PubSub has no memory, and who listens may be about to connect again.
      await node?.command('PUBLISH', `run:${cancelled.runId}:cancel`, 'interrupt');
      return (await cluster.row(cancelled.runId)).status === 'interrupted';
    },
    { timeoutMs: 20_000, what: 'the run to be interrupted' },
  );
});

// A master that has lost its slots takes those of all with it, unless the cluster is told otherwise.
test.each(['yes', 'no'])(
  '[C2] a master without a replica is away for a while, cluster-require-full-coverage %s: runs go on and begin without its slots',
  async (coverage) => {
    await start({ settings: { 'cluster-require-full-coverage': coverage } });
    const runs = await beginOnEveryShard();
    const lost = masterOfLog(runs[0]?.threadId ?? '');
    await lost.kill();
    const others = nodes.masters.filter((master) => master !== lost);
    await waitUntil(
      async () => {
        const info = await Promise.all(
          others.map(({ port }) => infoOf(`redis://127.0.0.1:${port}`)),
        );
        return info.every((text) => text.includes('cluster_slots_fail:54'));
      },
      { timeoutMs: 30_000, what: 'the others to see that its slots are gone' },
    );
    // Of every queue tag and log shard, dead ones as well.
    const during = await Promise.all(
      Array.from({ length: 8 }, () => begin({ steps: 1, events: 20, eventMs: 5 })),
    );
    for (const run of [...runs, ...during]) await expectWhole(run);
    await lost.restart();
    await nodes.whole();
    await expectUsedAgain();
  },
);

/** CLUSTER INFO of one node. */
async function infoOf(url: string): Promise<string> {
  const node = connectCommands({ url, name: 'test' }, () => undefined);
  try {
    return await waitUntil(
      () => (node.status === 'ready' ? node.cluster('INFO') : Promise.resolve(undefined)),
      { timeoutMs: 10_000 },
    );
  } finally {
    node.disconnect();
  }
}
