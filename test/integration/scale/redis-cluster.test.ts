/** Everything through a real Redis Cluster of three masters: logs on all of them, live events from the shard they are on. */
import { execFileSync } from 'node:child_process';
import { createWorkerOf } from '../../../src/app.ts';
import { createBullmqQueue } from '../../../src/queue/bullmq.ts';
import { inspectRedis } from '../../../src/redis/inspect.ts';
import { tagOfRun } from '../../../src/queue/tags.ts';
import { slotOf } from '../../../src/redis/slot.ts';
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
import { talkingGraph } from '../../support/talking-graph.ts';
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

test('[53] many logs are written, read live and archived, on several masters', async () => {
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

test('the queue has parts on every master, and a worker gets the wake-ups of all', async () => {
  const runs = [];
  for (let n = 0; n < 12; n++) {
    // Three under each tag: which one a run has is chance.
    let run = newRun(app, await createThread(app), { input: { n } });
    while (tagOfRun(run.runId, 4) !== n % 4) run = newRun(app, run.threadId, { input: { n } });
    runs.push(run);
    await submitRun(app.core.submit, run);
  }
  await waitUntil(async () => (await app.core.queue.depth()) === runs.length, {
    timeoutMs: 20_000,
    what: 'all of them to be queued',
  });
  const pattern = `{${app.core.keys.prefix}:queue*}:runs*:wait`;
  const lists = await cluster.onEach('EVAL', `return #redis.call('KEYS', ARGV[1])`, '0', pattern);
  expect(lists.every((reply) => Number(reply.slice(1)) > 0)).toBe(true);
  const board = app.core.board?.adapters({ readOnly: true, runHref: (runId) => runId }) ?? [];
  const counts = await Promise.all(board.map((queue) => queue.getJobCounts()));
  expect(board.map((queue) => queue.getName())).toEqual(['runs', 'runs-1', 'runs-2', 'runs-3']);
  expect(counts.reduce((sum, { waiting = 0 }) => sum + waiting, 0)).toBe(runs.length);

  const ended = runs.map(({ runId }) => app.core.ends.wait(runId));
  await app.worker.start();
  for (const end of ended) expect(await end).toMatchObject({ status: 'success' });
  await waitUntil(async () => (await app.core.queue.depth()) === 0, {
    timeoutMs: 20_000,
    what: 'no wake-up to be left',
  });
});

test('slots are what the cluster says they are', async () => {
  for (const tag of ['0', 'millrace:queue', 'a:queue:17', 'é'])
    expect(await cluster.masters[0]?.command('CLUSTER', 'KEYSLOT', `{${tag}}x`)).toBe(
      `:${slotOf(tag)}`,
    );
});

test.each([
  ['fewer', 4, 1],
  ['more', 1, 4],
])('with %s tags than before every run begins', async (_what, before, after) => {
  const queued = createBullmqQueue({
    redisUrl: cluster.url,
    prefix: app.core.keys.prefix,
    tagCount: before,
    onTrouble: () => undefined,
    onRefused: () => undefined,
  });
  const runs = [];
  for (let n = 0; n < 12; n++) {
    const run = newRun(app, await createThread(app), { input: { n } });
    runs.push(run);
    await submitRun({ ...app.core.submit, queue: queued }, run);
  }
  await waitUntil(async () => (await queued.depth()) === runs.length, { timeoutMs: 20_000 });
  await queued.stop();
  const ended = runs.map(({ runId }) => app.core.ends.wait(runId));
  const worker = createWorkerOf({ ...app.core, queueTagCount: after });
  await worker.start();
  for (const end of ended) expect(await end).toMatchObject({ status: 'success' });
  await worker.stop();
});

describe('cancels by the documented names, of somebody who knows one node', () => {
  const talk = talkingGraph();
  let talking: TestApp;
  beforeAll(async () => {
    talking = await startTestApp({ redis: true, redisUrl: cluster.url, graph: talk.graph });
  });
  afterAll(async () => {
    talk.finishAll();
    await talking.stop();
  });

  async function begin(): Promise<{ threadId: string; runId: string }> {
    const run = newRun(talking, await createThread(talking), { input: { say: [], hold: true } });
    await submitRun(talking.core.submit, run);
    await waitUntil(
      async () => (await statusOf(run.runId)) === 'running' && talking.worker.active().length > 0,
      { timeoutMs: 20_000, what: 'the run to be executed' },
    );
    return run;
  }
  async function statusOf(runId: string): Promise<string | undefined> {
    const { rows } = await talking.core.pool.query<{ status: string }>(
      'SELECT status FROM runs WHERE run_id = $1',
      [runId],
    );
    return rows[0]?.status;
  }

  test.each([0, 1, 2])('published to run:ID:cancel on master %i', async (node) => {
    const { runId } = await begin();
    await cluster.masters[node]?.command('PUBLISH', `run:${runId}:cancel`, 'interrupt');
    await waitUntil(async () => (await statusOf(runId)) === 'interrupted', {
      timeoutMs: 20_000,
      what: 'the run to be interrupted',
    });
  });

  test('as a string alone, typed into redis-cli -c', async () => {
    const { runId } = await begin();
    const key = `${talking.core.keys.prefix}:cancel:${runId}`;
    const port = String(cluster.masters[0]?.port);
    execFileSync('redis-cli', ['-c', '-p', port, 'SET', key, 'interrupt', 'EX', '60']);
    await waitUntil(async () => (await statusOf(runId)) === 'interrupted', {
      timeoutMs: 20_000,
      what: 'the run to be interrupted',
    });
  });
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
