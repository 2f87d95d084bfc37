/** Everything through a real Redis Cluster of three masters: logs on all of them, live events from the shard they are on. */
import { inspectRedis } from '../../../src/redis/inspect.ts';
import { createRun } from '../../../src/runs/create.ts';
import { submitRun } from '../../../src/runs/submit.ts';
import {
  beginRun,
  createThread,
  endRun,
  newRun,
  readAll,
  startTestApp,
} from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { startRedisCluster } from '../../support/cluster-redis.ts';
import type { TestRedisCluster } from '../../support/cluster-redis.ts';
import { playRun } from '../../support/play-run.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { Annotation, START, StateGraph } from '@langchain/langgraph';

const State = Annotation.Root({ n: Annotation<number>() });
const graph = new StateGraph(State)
  .addNode('add', ({ n }) => ({ n: n + 1 }))
  .addEdge(START, 'add')
  .compile();

let cluster: TestRedisCluster;
let app: TestApp;
beforeAll(async () => {
  cluster = await startRedisCluster();
}, 120_000);
afterAll(() => cluster.stop());
beforeEach(async () => {
  app = await startTestApp({ redis: true, redisUrl: cluster.url, worker: false, graph });
});
afterEach(() => app.stop());

const values = (events: readonly { data: unknown }[]): unknown[] => events.map(({ data }) => data);

test('many logs are written, read live and archived, on several masters', async () => {
  const runs = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const run = newRun(app, await createThread(app));
      await createRun(app.core.pool, run);
      return run;
    }),
  );
  const before = await cluster.onEach('DBSIZE');
  await Promise.all(
    runs.map(async ({ runId, threadId }) => {
      const transcript = readAll(app, { threadId, runId });
      const played = await playRun(app, runId);
      played.emit('custom', 1);
      played.emit('custom', 2);
      await waitUntil(
        async () =>
          (await app.core.redis?.commands.hget(app.core.keys.log(threadId).meta, 'l')) !== null,
        { timeoutMs: 20_000, what: 'the log to be in Redis' },
      );
      played.emit('custom', 3);
      await played.end();
      const { events, rewinds, status } = await transcript;
      expect({ data: values(events), rewinds, status }).toEqual({
        data: [1, 2, 3],
        rewinds: [],
        status: 'success',
      });
    }),
  );
  const after = await cluster.onEach('DBSIZE');
  const sizes = (replies: string[]): number[] => replies.map((reply) => Number(reply.slice(1)));
  const grown = sizes(after).filter((size, i) => size > (sizes(before)[i] ?? 0));
  // Which shards twelve threads fall on is chance: on one master alone they never are.
  expect(grown.length).toBeGreaterThan(1);
});

test('live events come by sharded PubSub: the look at the log would be later', async () => {
  const owner = await beginRun(app);
  const seen: number[] = [];
  const listener = {
    onLive: (batch: { first: number }) => void seen.push(batch.first),
    onHint: () => undefined,
  };
  await app.core.hub.attach(owner.threadId, listener);
  await app.core.redisLog?.append(owner, owner.start, [{ type: 'custom', data: '1' }]);
  await waitUntil(() => seen.length === 1, { timeoutMs: 20_000, what: 'the live batch' });
  const channels = await Promise.all(
    cluster.masters.map(async (master) => master.command('PUBSUB', 'SHARDCHANNELS')),
  );
  expect(channels.some((reply) => Number(reply.slice(1)) > 0)).toBe(true);
  // Not over the bus to all nodes.
  expect(await cluster.onEach('PUBSUB', 'CHANNELS', `*${owner.threadId}*`)).toEqual(
    cluster.masters.map(() => '*0'),
  );
  app.core.hub.detach(owner.threadId, listener);
});

test('runs come to a worker by BullMQ, and end', async () => {
  await app.worker.start();
  for (let n = 0; n < 5; n++) {
    const run = newRun(app, await createThread(app), { input: { n } });
    const ended = app.core.ends.wait(run.runId);
    await submitRun(app.core.submit, run);
    expect(await ended).toMatchObject({ status: 'success' });
  }
  const pattern = `{${app.core.keys.prefix}:queue}*`;
  const keys = await cluster.onEach('EVAL', `return #redis.call('KEYS', ARGV[1])`, '0', pattern);
  // One tag, one slot, one master.
  expect(keys.filter((reply) => reply !== ':0')).toHaveLength(1);
});

test('the archiver brings what is marked on every shard to Postgres', async () => {
  const owners = await Promise.all(Array.from({ length: 10 }, () => beginRun(app)));
  expect(
    new Set(owners.map(({ threadId }) => app.core.keys.shardOf(threadId))).size,
  ).toBeGreaterThan(2);
  for (const owner of owners)
    await app.core.redisLog?.append(owner, owner.start, [{ type: 'custom', data: '"x"' }]);
  await waitUntil(
    async () => {
      const { rows } = await app.core.pool.query<{ n: number }>(
        'SELECT count(*) AS n FROM threads WHERE archived_seq = 1',
      );
      return rows[0]?.n === owners.length;
    },
    { timeoutMs: 20_000, what: 'all events to be archived' },
  );
  for (const owner of owners) await endRun(app, owner, 1);
});

test('doctor looks at every master', async () => {
  const findings = await inspectRedis(cluster.url);
  for (const { port } of cluster.masters)
    expect(findings.map(({ what }) => what)).toContain(
      `Redis 127.0.0.1:${port}: maxmemory-policy noeviction`,
    );
});
