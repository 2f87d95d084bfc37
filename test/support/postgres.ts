/** Databases for tests, and private servers for the tests that break one. */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../../src/lib/free-port.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/postgres/embedded.ts';
import { migrate, migrationNames } from '../../src/postgres/migrate.ts';
import { createPool, transaction, type Pool } from '../../src/postgres/pool.ts';
import { familyOf, isAlive, signal } from './process-family.ts';
import { createTempFolder, forgetProcess, reapProcess, removeTempFolder } from './reaper.ts';
import { waitUntil } from './wait-until.ts';

/** How long connections in use may take to be given back at the end. */
const POOL_END_MS_MAX = 5_000;

export interface TestDatabase {
  url: string;
  pool: Pool;
  /** Ends `pool`, throws every other session out and removes the database. */
  drop(): Promise<void>;
}

/** The server that this jest run shares; global-setup.mjs starts it when none was given. */
export function testPostgresUrl(): string {
  const url = process.env['TEST_POSTGRES_URL'];
  if (url === undefined)
    throw new Error(
      'TEST_POSTGRES_URL is not set: is global-setup.mjs missing in jest.config.mjs?',
    );
  return url;
}

/** A fresh database with the whole schema, cloned from a template: one per test file is right. */
export async function createTestDatabase(
  options: { connectionsMax?: number; serverUrl?: string } = {},
): Promise<TestDatabase> {
  const serverUrl = options.serverUrl ?? testPostgresUrl();
  const template = await ensureTemplate(serverUrl);
  return await createDatabase(serverUrl, `TEMPLATE ${template}`, options.connectionsMax ?? 10);
}

/** The same without a schema. */
export async function createEmptyDatabase(): Promise<TestDatabase> {
  return await createDatabase(testPostgresUrl(), '', 10);
}

async function createDatabase(
  serverUrl: string,
  clause: string,
  connectionsMax: number,
): Promise<TestDatabase> {
  const name = `millrace_test_${randomBytes(6).toString('hex')}`;
  await withPool(serverUrl, (admin) => admin.query(`CREATE DATABASE ${name} ${clause}`));
  const url = urlOf(serverUrl, name);
  const pool = createPool({ url, connectionsMax, name: 'millrace-test' }, () => undefined);
  let dropped: Promise<void> | undefined;
  return {
    url,
    pool,
    drop: () =>
      (dropped ??= (async () => {
        // A test that failed may have left a connection taken.
        await Promise.race([pool.end(), delay(POOL_END_MS_MAX, undefined, { ref: false })]);
        // Sessions that are thrown out may take longer than Postgres waits for them.
        await withPool(serverUrl, (admin) =>
          waitUntil(
            async () => {
              await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
              return true;
            },
            { timeoutMs: 30_000, what: `${name} to be free` },
          ),
        );
      })()),
  };
}

/** One template per content of migrations/, made by whoever comes first. */
async function ensureTemplate(serverUrl: string): Promise<string> {
  const hash = createHash('sha256');
  for (const name of migrationNames())
    hash.update(readFileSync(new URL(`../../src/postgres/migrations/${name}`, import.meta.url)));
  const template = `millrace_template_${hash.digest('hex').slice(0, 12)}`;
  await withPool(serverUrl, async (admin) => {
    if (await exists(admin, template)) return;
    // The transaction only carries the lock: databases are made outside of it.
    await transaction(admin, async (db) => {
      await db.query('SELECT pg_advisory_xact_lock(hashtext($1))', [template]);
      if (await exists(admin, template)) return;
      const building = `${template}_${randomBytes(4).toString('hex')}`;
      await admin.query(`CREATE DATABASE ${building}`);
      await withPool(urlOf(serverUrl, building), migrate);
      // Sessions end a moment after their sockets; a database in use has no new name.
      await waitUntil(
        async () => {
          await admin.query(`ALTER DATABASE ${building} RENAME TO ${template}`);
          return true;
        },
        { timeoutMs: 30_000, what: 'the template to be free' },
      );
    });
  });
  return template;
}

async function exists(db: Pool, database: string): Promise<boolean> {
  const { rowCount } = await db.query('SELECT 1 FROM pg_database WHERE datname = $1', [database]);
  return rowCount === 1;
}

async function withPool<T>(url: string, work: (pool: Pool) => Promise<T>): Promise<T> {
  const pool = createPool({ url, connectionsMax: 3, name: 'millrace-test-admin' }, () => undefined);
  try {
    return await work(pool);
  } finally {
    await pool.end();
  }
}

function urlOf(serverUrl: string, database: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  return url.href;
}

export interface TestPostgres {
  /** Stays the same over `restart`. */
  readonly url: string;
  readonly port: number;
  /** SIGKILL to the postmaster and all its children: a crash. */
  kill(): Promise<void>;
  /** Starts it again, after `kill` or in place of a clean stop. Committed data is still there. */
  restart(): Promise<void>;
  /** Freezes the postmaster and its sessions: connections stay open, nothing answers. */
  pause(): void;
  resume(): void;
  /** Ends it and removes its data. Idempotent. */
  stop(): Promise<void>;
}

/** A private server, for tests that break it. fsync is off unless asked for: SIGKILL loses nothing without it. */
export async function startPostgres(
  options: { fsync?: boolean; settings?: Record<string, string> } = {},
): Promise<TestPostgres> {
  const folder = createTempFolder('postgres');
  const port = await freePort();
  const start = async (): Promise<EmbeddedPostgres> => {
    const server = await startEmbeddedPostgres({ folder, port, fsync: false, ...options });
    reapProcess(server.pid, 'SIGQUIT');
    return server;
  };
  let server = await start();
  let stopped: Promise<void> | undefined;
  const end = async (how: () => void | Promise<void>): Promise<void> => {
    await how();
    await waitUntil(() => !isAlive(server.pid), { timeoutMs: 30_000, what: 'Postgres to be gone' });
    forgetProcess(server.pid);
  };
  return {
    url: server.url,
    port,
    kill: () =>
      end(() => {
        for (const pid of familyOf(server.pid)) signal(pid, 'SIGKILL');
      }),
    restart: async () => {
      if (isAlive(server.pid)) await end(() => server.stop());
      server = await start();
    },
    pause: () => {
      for (const pid of familyOf(server.pid)) signal(pid, 'SIGSTOP');
    },
    resume: () => {
      for (const pid of familyOf(server.pid)) signal(pid, 'SIGCONT');
    },
    stop: () =>
      (stopped ??= (async () => {
        for (const pid of familyOf(server.pid)) signal(pid, 'SIGCONT');
        if (isAlive(server.pid)) await end(() => server.stop());
        removeTempFolder(folder);
      })()),
  };
}
