/**
 * A master of a Redis Cluster is killed in the middle of runs: its replica takes over, or its slots are gone for a while, alone
 * or with the whole cluster. It has the logs of some runs, wake-ups of others and maybe the channels of all.
 */
import { newId } from '../../src/ids.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { connectCommands } from '../../src/redis/connect.ts';
import type { Redis } from '../../src/redis/connect.ts';
import { rewindsIn } from '../support/checker.ts';
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { startRedisCluster } from '../support/cluster-redis.ts';
import type { RedisClusterOptions, TestRedisCluster } from '../support/cluster-redis.ts';
import type { Plan } from '../support/fault-project/probe.ts';
import { expectWhole, followRun } from '../support/followed-run.ts';
import type { FollowedRun } from '../support/followed-run.ts';
import type { TestRedis } from '../support/redis.ts';
import { violationsIn } from '../support/verify.ts';
import { waitUntil } from '../support/wait-until.ts';

const SHARDS = 8;
const WHOLE_MS = 60_000;
/** Six servers of Redis and three processes start and are broken in one test. */
const LIMIT_MS = 240_000;
const SHORT: Plan = { steps: 1, events: 20, eventMs: 5 };
const LONG: Plan = { steps: 4, events: 100, eventMs: 15 };
/** Until it is cancelled: whatever a busy machine makes of the test, the fault is in its middle. */
const ENDLESS: Plan = { steps: 1_000, events: 100, eventMs: 40 };

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

/** A run on each shard, so that every master has logs of some. */
function beginOnEveryShard(plan: Plan): Promise<FollowedRun[]> {
  return Promise.all(Array.from({ length: SHARDS }, (_, shard) => beginOn(shard, plan)));
}
async function beginOn(shard: number, plan: Plan): Promise<FollowedRun> {
  let threadId = newId();
  while (keys().shardOf(threadId) !== shard) threadId = newId();
  await cluster.request('POST', '/threads', { thread_id: threadId });
  return followRun(cluster, plan, threadId);
}

async function expectUnhurt(run: FollowedRun): Promise<void> {
  await expectWhole(cluster, run);
  expect(rewindsIn([run.visitor.now])).toBe(0);
}

/** Events of every shard's logs go through Redis again. */
async function expectUsedAgain(): Promise<void> {
  for (let shard = 0; shard < SHARDS; shard++)
    await waitUntil(
      async () => {
        const run = await beginOn(shard, { steps: 1, events: 10, eventMs: 1 });
        await expectUnhurt(run);
        return (await redis.hget(keys().log(run.threadId).meta, 'l')) !== null;
      },
      { timeoutMs: 60_000, what: 'every shard to be used again' },
    );
}

test(
  '[C1] a master is killed and its replica takes over: runs go on, no event is lost or told twice, and cancels are heard',
  async () => {
    await start({ replicas: true });
    const runs = await beginOnEveryShard(LONG);
    for (const { visitor } of runs) await visitor.now.until(20);
    const lost = masterOfLog(runs[0]?.threadId ?? '');
    await lost.kill();
    // Some of their wake-ups belong to the dead master.
    const during = await beginOnEveryShard(SHORT);
    for (const run of [...runs, ...during]) await expectUnhurt(run);
    await nodes.whole([lost]);
    await expectUsedAgain();

    const cancelled = await beginOn(0, ENDLESS);
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
  },
  LIMIT_MS,
);

// A master that has lost its slots takes those of all with it, unless the cluster is told otherwise.
test.each(['yes', 'no'])(
  '[C2] a master without a replica is away for a while, cluster-require-full-coverage %s: runs go on and begin without its slots',
  async (coverage) => {
    await start({ settings: { 'cluster-require-full-coverage': coverage } });
    const runs = await beginOnEveryShard(ENDLESS);
    for (const { visitor } of runs) await visitor.now.until(20);
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
    const seen = runs.map(({ visitor }) => visitor.now.events.length);
    // Of every log shard, and of whatever queue tags.
    const during = await beginOnEveryShard(SHORT);
    for (const run of during) await expectUnhurt(run);
    for (const [i, { visitor }] of runs.entries())
      await visitor.now.until((seen[i] ?? 0) + 60, WHOLE_MS);
    await lost.restart();
    await nodes.whole();
    await expectUsedAgain();
    for (const { threadId, runId, visitor } of runs) {
      await cluster.request('POST', `/threads/${threadId}/runs/${runId}/cancel`);
      await visitor.now.end(WHOLE_MS);
      const clients = [visitor.sessions];
      expect(await violationsIn(cluster, { threadId, runId, clients })).toEqual([]);
      expect(rewindsIn([visitor.now])).toBe(0);
      expect(await cluster.row(runId)).toMatchObject({ status: 'interrupted', attempt: 1 });
    }
  },
  LIMIT_MS,
);

/** CLUSTER INFO of one node. */
async function infoOf(url: string): Promise<string> {
  const node = connectCommands({ url, name: 'test' }, () => undefined);
  try {
    return await waitUntil(
      () => (node.status === 'ready' ? node.cluster('INFO') : Promise.resolve(undefined)),
      { timeoutMs: 20_000 },
    );
  } finally {
    node.disconnect();
  }
}
