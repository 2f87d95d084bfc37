/**
 * The documented contract, seen by tools and workers that know nothing but its names: the sessions of the second
 * document typed into the real redis-cli, and a foreign worker that has its own connection to Redis and no code of ours.
 */
import { execFileSync } from 'node:child_process';
import { Redis } from 'ioredis';
import { createContractCancels } from '../../../src/compat/cancel.ts';
import { newId } from '../../../src/ids.ts';
import { createDeferred } from '../../../src/lib/deferred.ts';
import { openSseClient } from '../../support/sse-client.ts';
import { testRedisUrl } from '../../support/redis.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { talkingGraph } from '../../support/talking-graph.ts';
import { waitUntil } from '../../support/wait-until.ts';

const talk = talkingGraph();
let app: TestServer;
let foreign: Redis;
let prefix: string;

/** What somebody types into a shell. */
function redisCli(...words: string[]): string {
  return execFileSync('redis-cli', ['-u', testRedisUrl(), ...words], { encoding: 'utf8' }).trim();
}
const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');

async function start(environment: Record<string, string>, worker = true): Promise<void> {
  app = await startTestServer({
    redis: true,
    graph: talk.graph,
    worker,
    environment: { WORKER_HEARTBEAT_INTERVAL: '0.3', WORKER_HEARTBEAT_TTL: '60', ...environment },
  });
  prefix = app.core.config.CONTRACT_PREFIX ?? app.core.config.KEY_PREFIX;
}

async function post(
  input: object,
  more: object = {},
): Promise<{ run_id: string; thread_id: string }> {
  const answer = await app.call('POST', '/runs', {
    assistant_id: app.assistantId,
    input,
    on_completion: 'keep',
    stream_mode: ['custom'],
    ...more,
  });
  expect(answer.status).toBe(200);
  return answer.json() as { run_id: string; thread_id: string };
}
async function statusOf(runId: string): Promise<string> {
  const { rows } = await app.core.pool.query<{ status: string }>(
    'SELECT status FROM runs WHERE run_id = $1',
    [runId],
  );
  return rows[0]?.status ?? 'gone';
}
const becomes = (runId: string, status: string): Promise<unknown> =>
  waitUntil(async () => (await statusOf(runId)) === status, { timeoutMs: 20_000, what: status });

beforeEach(() => {
  foreign = new Redis(testRedisUrl());
});
afterEach(async () => {
  talk.finishAll();
  foreign.disconnect();
  await app.stop();
});

// A prefix of the test's own, so that tests may share a Redis; every other name is the preset's.
const AEGRA = (): Record<string, string> => ({
  CONTRACT_NAMES: 'aegra',
  CONTRACT_PREFIX: `aegra${newId().slice(-8)}`,
});

test.each(['bullmq', 'list'])('LLEN is the queue size: %s', async (backend) => {
  await start({ ...AEGRA(), QUEUE_BACKEND: backend }, false);
  for (let i = 0; i < 3; i++) await post({ say: [] });
  await waitUntil(() => redisCli('LLEN', `${prefix}:tasks`) === '3', { timeoutMs: 20_000 });
  // Only a sentinel is stored, no run information.
  expect(new Set(lines(redisCli('LRANGE', `${prefix}:tasks`, '0', '-1')))).toEqual(new Set(['1']));
  await app.worker.start();
  await waitUntil(() => redisCli('LLEN', `${prefix}:tasks`) === '0', { timeoutMs: 20_000 });
});

test('heartbeats and the attempt are there while a run is executed, with their expiry, and a cancel removes them', async () => {
  await start(AEGRA());
  const run = await post({ say: ['a'], hold: true });
  const key = `${prefix}:heartbeat:${run.run_id}`;
  // A renewal of the lease writes the heartbeat and may come before the look that writes both.
  await waitUntil(() => redisCli('GET', `${prefix}:attempt:${run.run_id}`) === '1', {
    timeoutMs: 20_000,
  });
  expect(redisCli('KEYS', `${prefix}:heartbeat:*`)).toBe(key);
  expect(redisCli('GET', key)).toBe(app.core.config.WORKER_ID);
  expect(Number(redisCli('TTL', key))).toBeGreaterThan(30);
  const expiry = Number(redisCli('TTL', `${prefix}:attempt:${run.run_id}`));
  expect(expiry).toBeGreaterThan(0);
  expect(expiry).toBeLessThanOrEqual(60);
  talk.finishAll();
  await becomes(run.run_id, 'success');
  await waitUntil(() => redisCli('KEYS', `${prefix}:heartbeat:*`) === '', { timeoutMs: 20_000 });
});

test('PUBSUB CHANNELS lists the runs that are streamed', async () => {
  await start(AEGRA());
  const run = await post({ say: ['a'], hold: true });
  const channel = `run:${run.run_id}:events`;
  const channels = (): string[] => lines(redisCli('PUBSUB', 'CHANNELS', 'run:*:events'));
  expect(channels()).not.toContain(channel);
  const client = await openSseClient(
    `${app.url}/threads/${run.thread_id}/runs/${run.run_id}/stream`,
  );
  await waitUntil(() => channels().includes(channel), { timeoutMs: 20_000 });
  client.close();
  await waitUntil(() => !channels().includes(channel), { timeoutMs: 20_000 });
});

interface Message {
  id?: string;
  event: string;
  data: unknown;
}
/** Subscribed by name or by pattern, as a foreign `/stream` server would. */
async function listen(how: 'subscribe' | 'psubscribe', channel: string): Promise<Message[]> {
  const got: Message[] = [];
  foreign.on('message', (_channel, message) => got.push(JSON.parse(message) as Message));
  foreign.on('pmessage', (_pattern, from, message) => {
    if (from === listening) got.push(JSON.parse(message) as Message);
  });
  const listening = channel;
  await (how === 'subscribe' ? foreign.subscribe(channel) : foreign.psubscribe('run:*:events'));
  return got;
}
const EVERY_WAY = [
  ['subscribe', {}],
  ['psubscribe', {}],
  ['subscribe', { EVENTS_IN_REDIS: 'false' }],
  ['psubscribe', { EVENTS_IN_REDIS: 'false' }],
] as const;

test.each(EVERY_WAY)(
  'who listens by %s to run:{run_id}:events gets each event as it happens, one message each, then the end (%j)',
  async (how, environment) => {
    await start(environment, false);
    const run = await post({ say: ['a', { b: 'ü\n\t' }], hold: true, then: ['last'] });
    const got = await listen(how, `run:${run.run_id}:events`);
    await app.worker.start();
    await waitUntil(() => got.length >= 3, { timeoutMs: 20_000 });
    expect(got.map((m) => [m.id, m.event])).toEqual([
      ['0', 'metadata'],
      ['1', 'custom'],
      ['2', 'custom'],
    ]);
    expect(got.slice(1).map((m) => m.data)).toEqual(['a', { b: 'ü\n\t' }]);
    talk.finishAll();
    await becomes(run.run_id, 'success');
    await waitUntil(() => got.length === 5, { timeoutMs: 20_000 });
    expect(got.slice(3)).toEqual([
      { id: '3', event: 'custom', data: 'last' },
      { event: 'end', data: { status: 'success' } },
    ]);
    // The same events under the same ids as over HTTP.
    const stream = await app.call('GET', `/threads/${run.thread_id}/runs/${run.run_id}/stream`);
    expect([...stream.text.matchAll(/^id: (.*)$/gm)].map((match) => match[1])).toEqual(
      got.slice(0, 4).map((m) => m.id),
    );
  },
);

test('a run too short for any append is told as well', async () => {
  await start({}, false);
  const run = await post({ say: ['quick'] });
  const got = await listen('subscribe', `run:${run.run_id}:events`);
  await app.worker.start();
  await waitUntil(() => got.at(-1)?.event === 'end', { timeoutMs: 20_000 });
  expect(got.map((m) => m.event)).toEqual(['metadata', 'custom', 'end']);
});

test('in the strict mode no event is stored in Redis, and a late client gets them all from Postgres', async () => {
  await start({ EVENTS_IN_REDIS: 'false' });
  const run = await post({ say: ['SECRET1', 'SECRET2'], hold: true });
  const live = await openSseClient(`${app.url}/threads/${run.thread_id}/runs/${run.run_id}/stream`);
  await waitUntil(() => live.text.includes('SECRET2'), { timeoutMs: 20_000 });
  const keys = lines(redisCli('KEYS', `*${app.core.config.KEY_PREFIX}*`));
  for (const key of keys) {
    expect(redisCli('TYPE', key) === 'stream' && key.endsWith(':log:events')).toBe(false);
    expect(execFileSync('redis-cli', ['-u', testRedisUrl(), 'DUMP', key])).not.toContain('SECRET');
  }
  talk.finishAll();
  await becomes(run.run_id, 'success');
  const late = await app.call('GET', `/threads/${run.thread_id}/runs/${run.run_id}/stream`);
  expect(late.text).toContain('SECRET1');
  live.close();
});

describe('cancels', () => {
  test.each(['run:ID:cancel', 'PREFIX:cancel:ID'])(
    'published to %s from outside stop a run that is executed, and one that waits',
    async (template) => {
      await start({ ...AEGRA(), N_JOBS_PER_WORKER: '1' });
      const channel = (runId: string): string =>
        template.replace('ID', runId).replace('PREFIX', prefix);
      const running = await post({ say: ['a'], hold: true });
      await becomes(running.run_id, 'running');
      const waiting = await post({ say: ['b'] });
      expect(Number(redisCli('PUBLISH', channel(waiting.run_id), 'interrupt'))).toBeGreaterThan(0);
      await becomes(waiting.run_id, 'interrupted');
      redisCli('PUBLISH', channel(running.run_id), '{"action":"interrupt"}');
      await becomes(running.run_id, 'interrupted');
    },
  );

  test('as a string alone are seen at the next heartbeat', async () => {
    await start({});
    const run = await post({ say: ['a'], hold: true });
    await becomes(run.run_id, 'running');
    redisCli('SET', `${prefix}:cancel:${run.run_id}`, 'interrupt', 'EX', '30');
    await becomes(run.run_id, 'interrupted');
  });

  test('by the API are told by string and channel', async () => {
    await start({});
    const run = await post({ say: ['a'], hold: true });
    await becomes(run.run_id, 'running');
    const told: string[] = [];
    foreign.on('message', (channel, message) => told.push(`${channel} ${message}`));
    await foreign.subscribe(`run:${run.run_id}:cancel`, `${prefix}:cancel:${run.run_id}`);
    await app.call('POST', `/threads/${run.thread_id}/runs/${run.run_id}/cancel`);
    await waitUntil(() => told.length === 2, { timeoutMs: 20_000 });
    expect(told.sort()).toEqual(
      [`run:${run.run_id}:cancel interrupt`, `${prefix}:cancel:${run.run_id} interrupt`].sort(),
    );
    expect(redisCli('GET', `${prefix}:cancel:${run.run_id}`)).toBe('interrupt');
    expect(Number(redisCli('TTL', `${prefix}:cancel:${run.run_id}`))).toBeGreaterThan(0);
    await becomes(run.run_id, 'interrupted');
  });
});

test('cancels of a whole crowd cost the process that tells of them nothing, and another one look each', async () => {
  // Its patterns would hear the cancels of all tests that share the Redis.
  await start({ CONTRACT_RUN_PREFIX: `r${newId().slice(-8)}` }, false);
  const { redis, names } = app.core;
  if (redis === undefined) throw new Error('no Redis');
  const { commands, subscriber } = redis;
  const looks = { own: [] as string[], other: [] as string[] };
  const troubles: unknown[] = [];
  const onTrouble = (_what: string, error: unknown): void => void troubles.push(error);
  const answer = createDeferred();
  const [own, other] = (['own', 'other'] as const).map((who) =>
    createContractCancels({
      names,
      commands,
      subscriber,
      cancel: (runId) => {
        looks[who].push(runId);
        return answer.promise;
      },
      onTrouble,
    }),
  );
  await own?.start();
  await other?.start();
  const runIds = Array.from({ length: 90 }, () => newId());
  for (const runId of runIds) own?.tell(runId, 'interrupt');
  // Messages come in order: after the last one's second channel all have come.
  const last = newId();
  await waitUntil(
    async () => {
      await foreign.publish(`${prefix}:cancel:${last}`, 'interrupt');
      return looks.own.includes(last) && looks.other.length >= 91;
    },
    { timeoutMs: 20_000, what: 'the last message' },
  );
  answer.resolve();
  expect(looks.own).toEqual([last]);
  expect(looks.other.sort()).toEqual([...runIds, last].sort());
  expect(troubles).toEqual([]);
  await own?.stop();
  await other?.stop();
});

test('garbage on every control channel is ignored, counted, and the listeners live', async () => {
  await start({ QUEUE_BACKEND: 'list' });
  const { keys, metrics, core } = { ...app.core, core: app.core };
  const run = await post({ say: ['a'], hold: true });
  await becomes(run.run_id, 'running');
  const client = await openSseClient(
    `${app.url}/threads/${run.thread_id}/runs/${run.run_id}/stream`,
  );
  await waitUntil(() => client.text.includes('"a"'), { timeoutMs: 20_000 });
  const ignored = async (): Promise<number> =>
    (await metrics.troubles.get()).values.reduce((sum, { value }) => sum + value, 0);
  const channels = [
    `run:${run.run_id}:cancel`,
    `${prefix}:cancel:${run.run_id}`,
    'run:no-uuid:cancel',
    keys.ends(run.thread_id),
    keys.log(run.thread_id).live,
  ];
  for (const channel of channels)
    for (const garbage of [
      '[]',
      '{"action":',
      'x'.repeat(1_000_000),
      '{"action":"explode"}',
      '\0\xff',
    ]) {
      const before = await ignored();
      await foreign.publish(channel, garbage);
      await waitUntil(async () => (await ignored()) > before, {
        timeoutMs: 20_000,
        what: `${channel} ${garbage.slice(0, 20)}`,
      });
    }
  const before = await ignored();
  await foreign.lpush(`${prefix}:tasks`, '[]', '{half', 'x'.repeat(1_000_000));
  await waitUntil(async () => (await ignored()) >= before + 3, { timeoutMs: 20_000 });
  for (const channel of ['control', 'ended', 'log', 'queue'])
    await core.pool.query('SELECT pg_notify($1, $2)', [
      `${core.config.KEY_PREFIX}_${channel}`,
      '[] {half',
    ]);
  // Everything still works: the run goes on, its cancel is heard, the next one is executed.
  expect(await statusOf(run.run_id)).toBe('running');
  await foreign.publish(`run:${run.run_id}:cancel`, 'interrupt');
  await becomes(run.run_id, 'interrupted');
  const next = await post({ say: ['b'] });
  await becomes(next.run_id, 'success');
  client.close();
});

describe('a foreign worker', () => {
  test('that waits on the list beside BullMQ is woken for each run and takes none from our workers; the list is bounded', async () => {
    await start({ CONTRACT_WAKE_LIST: 'true', CONTRACT_WAKE_LIST_MAX: '5' }, false);
    const popped = foreign.brpop(`${prefix}:tasks`, 20);
    const first = await post({ say: ['a'] });
    expect(await popped).toEqual([`${prefix}:tasks`, '1']);
    for (let i = 0; i < 9; i++) await post({ say: ['a'] });
    await waitUntil(() => redisCli('LLEN', `${prefix}:tasks`) === '5', { timeoutMs: 20_000 });
    await app.worker.start();
    await becomes(first.run_id, 'success');
  });

  test('that takes a sentinel from the list that is the queue, and dies, only delays the run', async () => {
    await start({ QUEUE_BACKEND: 'list', SWEEPER_INTERVAL: '0.3' }, false);
    const run = await post({ say: ['a'] });
    await waitUntil(async () => (await foreign.rpop(`${prefix}:tasks`)) === '1', {
      timeoutMs: 20_000,
    });
    await app.worker.start();
    await becomes(run.run_id, 'success');
  });

  test('a producer that pushes tasks of the documented kind wakes our workers; the run comes from Postgres', async () => {
    await start({ QUEUE_BACKEND: 'list' }, false);
    const run = await post({ say: ['a'], hold: false });
    await waitUntil(async () => (await foreign.rpop(`${prefix}:tasks`)) === '1', {
      timeoutMs: 20_000,
    });
    await app.worker.start();
    await foreign.lpush(
      `${prefix}:tasks`,
      JSON.stringify({ run_id: run.run_id, graph_id: 'test' }),
    );
    await becomes(run.run_id, 'success');
  });

  test('manual recovery: a row that is put back to pending is picked up', async () => {
    await start({ SWEEPER_INTERVAL: '0.3' });
    const run = await post({ say: ['a'], hold: true });
    await becomes(run.run_id, 'running');
    await app.core.pool.query(
      `UPDATE runs SET status = 'pending', worker_id = NULL, lease_expires_at = NULL WHERE run_id = $1 AND status = 'running'`,
      [run.run_id],
    );
    // The attempt that was cut off, and the one that follows.
    await waitUntil(
      async () => {
        talk.finishAll();
        return (await statusOf(run.run_id)) === 'success';
      },
      { timeoutMs: 20_000 },
    );
    const { rows } = await app.core.pool.query<{ attempt: number }>(
      'SELECT attempt FROM runs WHERE run_id = $1',
      [run.run_id],
    );
    expect(rows[0]?.attempt).toBe(2);
  });
});
