/** The documented variables, and what they make of a process. */
import { readConfig } from '../../../src/config.ts';
import { createCore } from '../../../src/app.ts';
import { contractNames } from '../../../src/compat/names.ts';
import { parseCancel } from '../../../src/compat/cancel.ts';
import { freePort } from '../../../src/lib/free-port.ts';
import { createLog } from '../../../src/telemetry/log.ts';
import { startTestApp } from '../../support/app.ts';
import { createTestDatabase } from '../../support/postgres.ts';
import { startRedis } from '../../support/redis.ts';
import { startTestServer } from '../../support/server.ts';
import { talkingGraph } from '../../support/talking-graph.ts';
import { waitUntil } from '../../support/wait-until.ts';

test('all documented variables are taken under their names', () => {
  const config = readConfig({
    DATABASE_URL: 'postgres://localhost/a',
    REDIS_URL: 'redis://localhost:6379',
    STREAMING_BACKEND: 'redis',
    ENABLE_WORKERS: 'true',
    WORKER_ID: 'worker-1',
    WORKER_HEARTBEAT_INTERVAL: '30',
    WORKER_HEARTBEAT_TTL: '60',
    SWEEPER_INTERVAL: '120',
    N_JOBS_PER_WORKER: '7',
    BG_JOB_TIMEOUT_SECS: '100',
    BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS: '10',
    CHECKPOINTER_TYPE: 'postgres',
  });
  expect(config).toMatchObject({
    redis: true,
    QUEUE_BACKEND: 'bullmq',
    ENABLE_WORKERS: true,
    WORKER_ID: 'worker-1',
    WORKER_HEARTBEAT_INTERVAL: 30,
    WORKER_HEARTBEAT_TTL: 60,
    SWEEPER_INTERVAL: 120,
    N_JOBS_PER_WORKER: 7,
    BG_JOB_TIMEOUT_SECS: 100,
    BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS: 10,
  });
  expect(readConfig({}).WORKER_ID).toMatch(/./);
  expect(readConfig({})).toMatchObject({ ENABLE_WORKERS: false, QUEUE_BACKEND: 'memory' });
  expect(readConfig({ REDIS_URL: 'redis://localhost', STREAMING_BACKEND: 'memory' })).toMatchObject(
    { redis: false, QUEUE_BACKEND: 'memory' },
  );
});

test.each([
  [{ QUEUE_BACKEND: 'list' }, /QUEUE_BACKEND: expected memory without Redis/],
  [{ QUEUE_BACKEND: 'rabbit', REDIS_URL: 'redis://x' }, /QUEUE_BACKEND/],
  [{ FAIR_LIMITS: '{"a": 0}' }, /FAIR_LIMITS/],
  [{ FAIR_LIMITS: 'a=3' }, /FAIR_LIMITS: expected JSON: keys/],
  [{ FAIR_KEY: 'body.x' }, /FAIR_KEY: expected assistant_id, metadata/],
  [{ CONTRACT_NAMES: 'other' }, /CONTRACT_NAMES/],
  [{ CONTRACT_PREFIX: 'a b' }, /CONTRACT_PREFIX/],
  [{ CHECKPOINTER_TYPE: 'redis' }, /CHECKPOINTER_TYPE: expected postgres: .*not be fenced/],
  [{ PENDING_TIMEOUT_SECS: '-1' }, /PENDING_TIMEOUT_SECS/],
  // Less than one batch of the writer.
  [{ LOG_UNARCHIVED_MAX: '999' }, /LOG_UNARCHIVED_MAX/],
])('%j is refused by name', (environment, message) => {
  expect(() => readConfig(environment as NodeJS.ProcessEnv)).toThrow(message);
});

test.each([
  'BG_JOB_TIMEOUT_SECS',
  'BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS',
  'WORKER_HEARTBEAT_INTERVAL',
  'SWEEPER_INTERVAL',
  'WEBHOOK_TIMEOUT_SECS',
  'MODEL_TIMEOUT_SECS',
  'BUS_ASK_TIMEOUT_SECS',
  'BUS_LEASE_SECS',
])('%s: what is longer than a timer, which would fire at once, is refused', (name) => {
  expect(() => readConfig({ [name]: String(86_400 * 25) })).toThrow(
    `${name}: expected at most 2073600 (24 days): timers hold no more (found "2160000")`,
  );
  const most = { WORKER_HEARTBEAT_TTL: String(86_400 * 24), [name]: String(86_400 * 12) };
  expect(readConfig(most)).toMatchObject({ [name]: 86_400 * 12 });
});

test('the names of the presets are the documented ones', () => {
  const aegra = contractNames({ preset: 'aegra', keyPrefix: 'millrace' });
  expect(aegra).toMatchObject({ wakeList: 'aegra:tasks', heartbeatPrefix: 'aegra:heartbeat:' });
  expect(aegra.events('ID')).toBe('run:ID:events');
  expect(aegra.cancelChannels('ID')).toEqual(['run:ID:cancel', 'aegra:cancel:ID']);
  for (const channel of aegra.cancelChannels('ID')) expect(aegra.runOfCancel(channel)).toBe('ID');
  for (const other of ['run:ID:events', 'aegra:cancel:', 'run::cancel', 'x'])
    expect(aegra.runOfCancel(other)).toBeUndefined();
  const own = contractNames({ preset: 'millrace', keyPrefix: 'mine', runPrefix: 'r' });
  expect([own.wakeList, own.events('ID')]).toEqual(['mine:tasks', 'r:ID:events']);
});

test('a cancel message means one thing or nothing', () => {
  for (const text of ['', '1', 'cancel', 'interrupt', 'ID', '{}', '{"action":"interrupt"}'])
    expect(parseCancel('ID', text)).toBe('interrupt');
  for (const text of ['rollback', '{"action":"rollback"}'])
    expect(parseCancel('ID', text)).toBe('rollback');
  for (const text of ['[]', '{', 'null', '7', 'stop it', '{"action":1}', ' '.repeat(2_000)])
    expect(parseCancel('ID', text)).toBeUndefined();
});

async function coreWithoutRedis(environment: Record<string, string>): Promise<void> {
  const database = await createTestDatabase();
  const config = readConfig({
    DATABASE_URL: database.url,
    REDIS_URL: `redis://127.0.0.1:${await freePort()}`,
    LOG_LEVEL: 'error',
    ...environment,
  });
  try {
    const core = await createCore(
      { ...config, DATABASE_URL: database.url },
      createLog({ level: 'error', format: 'text', name: 'test' }),
      {},
    );
    await core.stop();
  } finally {
    await database.drop();
  }
}

test('without Redis at start: development goes on, production refuses unless told otherwise', async () => {
  await coreWithoutRedis({ NODE_ENV: 'development' });
  await expect(coreWithoutRedis({ NODE_ENV: 'production' })).rejects.toThrow(
    /REDIS_URL: Redis does not answer.*START_WITHOUT_REDIS/,
  );
  await coreWithoutRedis({ NODE_ENV: 'production', START_WITHOUT_REDIS: 'true' });
  await expect(coreWithoutRedis({ START_WITHOUT_REDIS: 'false' })).rejects.toThrow(/REDIS_URL/);
});

test('started without Redis, runs are executed, and with Redis back it is used', async () => {
  const redis = await startRedis();
  await redis.kill();
  const talk = talkingGraph();
  const app = await startTestServer({ redis: true, redisUrl: redis.url, graph: talk.graph });
  try {
    const wait = (): Promise<{ status: number }> =>
      app.call('POST', '/runs/wait', { assistant_id: app.assistantId, input: { say: [] } });
    expect((await wait()).status).toBe(200);
    await redis.restart();
    await waitUntil(
      async () =>
        ((await app.call('GET', '/health')).json() as { redis: string }).redis === 'connected',
      { timeoutMs: 20_000 },
    );
    expect((await wait()).status).toBe(200);
  } finally {
    await app.stop();
    await redis.stop();
  }
});

test('a run that no worker takes in time ends as error, and its thread is free; by default it waits', async () => {
  const app = await startTestServer({
    redis: true,
    worker: false,
    environment: { PENDING_TIMEOUT_SECS: '4', SWEEPER_INTERVAL: '0.1' },
  });
  const patient = await startTestApp({
    redis: true,
    worker: false,
    environment: { SWEEPER_INTERVAL: '0.1' },
  });
  try {
    expect(patient.core.config.PENDING_TIMEOUT_SECS).toBe(0);
    const thread = (await app.call('POST', '/threads', {})).json() as { thread_id: string };
    const create = (): ReturnType<typeof app.call> =>
      app.call('POST', `/threads/${thread.thread_id}/runs`, {
        assistant_id: app.assistantId,
        input: {},
      });
    const run = (await create()).json() as { run_id: string };
    const path = `/threads/${thread.thread_id}/runs/${run.run_id}`;
    expect(((await app.call('GET', path)).json() as { status: string }).status).toBe('pending');
    await waitUntil(
      async () => ((await app.call('GET', path)).json() as { status: string }).status === 'error',
      { timeoutMs: 20_000 },
    );
    const stream = await app.call('GET', `${path}/stream`);
    expect(stream.text).toContain('PendingTimeoutError');
    const after = (await app.call('GET', `/threads/${thread.thread_id}`)).json();
    expect(after).toMatchObject({ status: 'error' });
    // The one behind it begins to wait only now.
    expect((await create()).status).toBe(200);
  } finally {
    await app.stop();
    await patient.stop();
  }
});
