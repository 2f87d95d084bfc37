/** A deployment for fault tests: server and worker processes from dist/, a database and a Redis of its own. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../src/lib/free-port.ts';
import type { Pool } from '../../src/postgres/pool.ts';
import { newId } from '../../src/ids.ts';
import type { Plan } from './fault-project/probe.ts';
import { createTestDatabase } from './postgres.ts';
import { startMillrace, tailOf } from './processes.ts';
import type { TestProcess } from './processes.ts';
import { startRedis } from './redis.ts';
import type { RedisOptions, TestRedis } from './redis.ts';
import { openSse } from './event-client.ts';
import type { SseClient, SseEvent } from './event-client.ts';

const PROJECT = fileURLToPath(new URL('./fault-project/langgraph.json', import.meta.url));

export interface ClusterOptions {
  servers?: number;
  workers?: number;
  /** false: the direct path. Default: a private Redis, empty after a restart. */
  redis?: false | RedisOptions;
  /** Where the processes find Redis and Postgres, when not directly: proxies. */
  redisUrl?: (url: string) => Promise<string> | string;
  databaseUrl?: (url: string) => Promise<string> | string;
  env?: Record<string, string>;
  /** A Postgres server of its own, to be broken. */
  serverUrl?: string;
}

export interface Cluster {
  readonly servers: { url: string; process: TestProcess }[];
  readonly workers: Map<string, TestProcess>;
  readonly redis: TestRedis;
  readonly pool: Pool;
  readonly databaseUrl: string;
  readonly keyPrefix: string;
  /** URL of the first server. */
  readonly url: string;
  startServer(env?: Record<string, string>): Promise<{ url: string; process: TestProcess }>;
  startWorker(name: string, env?: Record<string, string>): Promise<TestProcess>;
  request(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }>;
  createThread(): Promise<string>;
  createRun(threadId: string, plan: Plan, more?: Record<string, unknown>): Promise<string>;
  /** Joins the run's stream. */
  join(threadId: string, runId: string, lastEventId?: string): SseClient;
  row(runId: string): Promise<RunState>;
  /** Name of the worker that holds the run. */
  workerOf(runId: string): Promise<string>;
  /** The run's events as the stream should show them, from Postgres. */
  archived(runId: string): Promise<SseEvent[]>;
  /** @throws when a process has ended with an error of its own, which no fault may bring about */
  stop(): Promise<void>;
}

export interface RunState {
  status: string;
  attempt: number;
  failures: number;
  term: number;
  worker_id: string | null;
  error: { error: string; message: string } | null;
}

/** Short times, so that a test of recovery takes seconds. */
const FAST = {
  WORKER_HEARTBEAT_INTERVAL: '0.3',
  WORKER_HEARTBEAT_TTL: '1.5',
  SWEEPER_INTERVAL: '0.3',
  BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS: '0',
  LOG_FORMAT: 'json',
  LOG_LEVEL: 'info',
};

/** The leases of production, for tests that lose no worker: a busy machine does not lose them one either. */
export const PATIENT = { WORKER_HEARTBEAT_INTERVAL: '2', WORKER_HEARTBEAT_TTL: '6' };

export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const database = await createTestDatabase(
    options.serverUrl === undefined ? {} : { serverUrl: options.serverUrl },
  );
  const redis = options.redis === false ? undefined : await startRedis(options.redis ?? {});
  const keyPrefix = `f${randomBytes(4).toString('hex')}`;
  const redisUrl = redis && (await (options.redisUrl?.(redis.url) ?? redis.url));
  const databaseUrl = await (options.databaseUrl?.(database.url) ?? database.url);
  const env = {
    ...FAST,
    DATABASE_URL: databaseUrl,
    KEY_PREFIX: keyPrefix,
    ENABLE_WORKERS: 'true',
    LANGGRAPH_CONFIG_PATH: PROJECT,
    ...(redisUrl === undefined ? {} : { REDIS_URL: redisUrl }),
    ...options.env,
  };
  const servers: Cluster['servers'] = [];
  const workers = new Map<string, TestProcess>();
  const processes: TestProcess[] = [];

  async function startServer(
    more: Record<string, string> = {},
  ): Promise<{ url: string; process: TestProcess }> {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const process = await startMillrace(['serve'], {
      env: { ...env, ...more, PORT: String(port) },
      readyUrl: `${url}/ok`,
    });
    const server = { url, process };
    servers.push(server);
    processes.push(process);
    return server;
  }
  async function startWorker(
    name: string,
    more: Record<string, string> = {},
  ): Promise<TestProcess> {
    const process = await startMillrace(['worker'], {
      env: { ...env, ...more, WORKER_ID: name },
      readyLine: /millrace worker ready/,
    });
    workers.set(name, process);
    processes.push(process);
    return process;
  }
  await Promise.all([
    ...Array.from({ length: options.servers ?? 1 }, () => startServer()),
    ...Array.from({ length: options.workers ?? 1 }, (_, i) => startWorker(`w${i + 1}`)),
  ]);

  const url = (): string => servers[0]?.url ?? '';
  const cluster: Cluster = {
    servers,
    workers,
    pool: database.pool,
    databaseUrl: database.url,
    keyPrefix,
    get redis() {
      if (redis === undefined) throw new Error('this cluster has no Redis');
      return redis;
    },
    get url() {
      return url();
    },
    startServer,
    startWorker,
    async request(method, path, body) {
      const response = await fetch(url() + path, {
        method,
        ...(body === undefined
          ? {}
          : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      });
      const text = await response.text();
      let parsed: unknown = text;
      try {
        parsed = JSON.parse(text);
      } catch {
        // Errors are plain text.
      }
      return { status: response.status, body: parsed };
    },
    async createThread() {
      const threadId = newId();
      const { status, body } = await cluster.request('POST', '/threads', { thread_id: threadId });
      if (status !== 200) throw new Error(`POST /threads: ${status} ${JSON.stringify(body)}`);
      return threadId;
    },
    async createRun(threadId, plan, more = {}) {
      const { status, body } = await cluster.request('POST', `/threads/${threadId}/runs`, {
        assistant_id: 'probe',
        input: { plan },
        stream_mode: ['custom'],
        stream_resumable: true,
        config: { recursion_limit: 10_000 },
        ...more,
      });
      if (status !== 200) throw new Error(`create run: ${status} ${JSON.stringify(body)}`);
      return (body as { run_id: string }).run_id;
    },
    join: (threadId, runId, lastEventId) =>
      openSse(`${url()}/threads/${threadId}/runs/${runId}/stream`, { lastEventId }),
    async row(runId) {
      const { rows } = await database.pool.query<RunState>(
        'SELECT status, attempt, failures, term, worker_id, error FROM runs WHERE run_id = $1',
        [runId],
      );
      const row = rows[0];
      if (row === undefined) throw new Error(`run ${runId} has no row`);
      return row;
    },
    async workerOf(runId) {
      const { worker_id: name } = await cluster.row(runId);
      if (name === null) throw new Error(`run ${runId} has no worker`);
      return name;
    },
    async archived(runId) {
      const { rows } = await database.pool.query<{
        n: number;
        type: string;
        data: string;
        attempt: number;
      }>(
        `SELECT e.seq - r.first_seq AS n, e.type, e.data, t.attempt
         FROM runs r JOIN events e ON e.thread_id = r.thread_id AND e.seq BETWEEN r.first_seq AND r.last_seq
         JOIN terms t ON t.thread_id = e.thread_id AND t.term = e.term
         WHERE r.run_id = $1 ORDER BY e.seq`,
        [runId],
      );
      return rows.map((row) => ({
        id: row.attempt > 1 ? `${row.n}-${row.attempt}` : String(row.n),
        event: row.type,
        data: row.data,
      }));
    },
    async stop() {
      const crashed = processes.filter(({ ended }) => typeof ended === 'number' && ended !== 0);
      await Promise.all(processes.map((process) => process.kill()));
      await redis?.stop();
      await database.drop();
      // Its runs go on elsewhere: nobody else would notice.
      if (crashed.length > 0)
        throw new Error(
          `ended by itself: ${crashed.map((process) => tailOf(process.output())).join('\n')}`,
        );
    },
  };
  return cluster;
}

/** A temporary path, for the traces and marks of a plan. */
export const markFile = (folder: string): string => join(folder, randomBytes(6).toString('hex'));
