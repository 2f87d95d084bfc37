/**
 * What is measured: Postgres from npm with fsync on, Redis with its append-only file, one server process, one
 * worker process. Only servers of its own: the figures of a shared one would mean nothing.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../prepare.mjs';
import { createClient } from './client.mjs';
import {
  cpuSeconds,
  cpuSecondsOfFamily,
  createProcesses,
  residentBytes,
  residentBytesOfFamily,
} from './processes.mjs';

const PROJECT = fileURLToPath(new URL('project/langgraph.json', import.meta.url));
/** Runs a worker executes at once: more than the 50 that one row starts together. */
export const SLOTS = 64;

export async function createStack({ onStart }) {
  const { startEmbeddedPostgres } = await import('../../dist/postgres/embedded.js');
  const { freePort } = await import('../../dist/lib/free-port.js');
  const { default: pg } = await import('pg');
  const { Redis } = await import('ioredis');

  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const processes = createProcesses();
  const closing = [];
  let stopping;
  let databases = 0;

  async function startPostgres() {
    onStart('Postgres');
    const postgres = await startEmbeddedPostgres({
      folder: join(folder, 'postgres'),
      settings: {
        max_connections: '300',
        shared_preload_libraries: 'pg_stat_statements',
        'pg_stat_statements.track': 'top',
        // A bench that falls into a checkpoint measures the checkpoint.
        max_wal_size: '8GB',
      },
    });
    processes.watch(postgres.pid);
    closing.push(async () => {
      await postgres.stop();
      processes.forget(postgres.pid);
    });
    const admin = new pg.Pool({ connectionString: postgres.url, max: 4 });
    admin.on('error', () => undefined);
    closing.unshift(() => admin.end());
    await admin.query('CREATE EXTENSION pg_stat_statements');
    return { ...postgres, admin };
  }

  async function startRedis() {
    const binary = ['redis-server', 'valkey-server'].find(
      (name) => spawnSync(name, ['--version']).status === 0,
    );
    if (binary === undefined) return undefined;
    onStart(binary);
    const port = await freePort();
    const url = `redis://127.0.0.1:${port}`;
    const server = await processes.start(
      'redis',
      binary,
      // As recommended in production: the append-only file, synced every second.
      [
        ...['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', ''],
        ...['--appendonly', 'yes', '--appendfsync', 'everysec', '--maxmemory-policy', 'noeviction'],
      ],
      { log: join(folder, 'redis.log'), ready: 'eady to accept connections' },
    );
    const commands = new Redis(url);
    commands.on('error', () => undefined);
    closing.unshift(() => commands.disconnect());
    return { url, pid: server.pid, commands };
  }

  /**
   * A server and a worker on a database of their own.
   * @param path 'redis' or 'direct'
   */
  async function startMillrace(postgres, redis, path, nodeArgs = {}) {
    onStart(`Millrace (${path})`);
    const name = `bench_${path}_${++databases}`;
    await postgres.admin.query(`CREATE DATABASE ${name}`);
    const database = postgres.url.replace(/\/postgres$/, `/${name}`);
    const port = await freePort();
    const env = {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      NODE_ENV: 'production',
      DATABASE_URL: database,
      ...(path === 'redis' ? { REDIS_URL: redis.url, KEY_PREFIX: name } : {}),
      PORT: String(port),
      ENABLE_WORKERS: 'true',
      N_JOBS_PER_WORKER: String(SLOTS),
      LANGGRAPH_CONFIG_PATH: PROJECT,
      LOG_FORMAT: 'json',
      LOG_LEVEL: 'warn',
    };
    const start = (title, args, more = {}) =>
      processes.start(
        title,
        process.execPath,
        [...(nodeArgs[title] ?? []), join(ROOT, 'dist/main.js'), ...args],
        {
          cwd: folder,
          env: { ...env, LOG_LEVEL: 'info', WORKER_ID: title, ...more },
          log: join(folder, `${name}-${title}-${Date.now()}.log`),
          ready: ' ready"',
        },
      );
    const server = await start('server', ['serve']);
    const worker = await start('worker', ['worker']);
    const db = new pg.Pool({ connectionString: database, max: 4 });
    db.on('error', () => undefined);
    const client = createClient(`http://127.0.0.1:${port}`);
    const stack = {
      path,
      name,
      database,
      db,
      client,
      redis,
      postgres,
      server,
      worker,
      /** Worker processes besides, whose CPU counts as the worker's. */
      moreWorkers: [],
      /** Another worker process; `env` changes its settings. */
      startWorker: (title, more) => start(title, ['worker'], more),
      /** CPU seconds used so far, by process; undefined figures where there is no /proc. */
      cpu: () => ({
        server: cpuSeconds(stack.server.pid),
        worker: [stack.worker, ...stack.moreWorkers]
          .filter((one) => one.alive())
          .reduce((sum, { pid }) => sum + cpuSeconds(pid), 0),
        redis: path === 'redis' ? cpuSeconds(redis.pid) : 0,
        postgres: cpuSecondsOfFamily(postgres.pid),
        load: cpuSeconds(process.pid),
      }),
      /** Bytes by process; shared pages of Postgres count once. */
      memory: () => ({
        server: residentBytes(stack.server.pid) ?? 0,
        worker: residentBytes(stack.worker.pid) ?? 0,
        redis: path === 'redis' ? (residentBytes(redis.pid) ?? 0) : 0,
        postgres: residentBytesOfFamily(postgres.pid) ?? 0,
      }),
      async stop() {
        client.close();
        await Promise.all([stack.server.stop(), stack.worker.stop()]);
        await db.end();
      },
    };
    return stack;
  }

  return {
    folder,
    processes,
    startPostgres,
    startRedis,
    startMillrace,
    /** Idempotent. */
    stop() {
      stopping ??= (async () => {
        await processes.stopAll();
        for (const close of closing) await close();
        rmSync(folder, { recursive: true, force: true });
      })();
      return stopping;
    },
  };
}
