/** What `millrace doctor` looks at in Postgres. */
import pg from 'pg';
import { clockFinding } from '../lib/finding.ts';
import type { Finding } from '../lib/finding.ts';
import { migrationNames } from './migrate.ts';
import { sqlState } from './pool.ts';

const CONNECT_LIMIT_MS = 3_000;
const NOTIFY_LIMIT_MS = 2_000;
const VERSION_MIN = 13;
/** Connections of one server or worker process at default settings, with some to spare. */
const CONNECTIONS_PER_PROCESS = 25;

/** @param directUrl what LISTEN goes through */
export async function inspectPostgres(url: string, directUrl: string): Promise<Finding[]> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_LIMIT_MS,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (error) {
    return [
      {
        state: 'wrong',
        what: `Postgres ${url}: ${error instanceof Error ? error.message : String(error)}`,
        mend: 'start Postgres or correct DATABASE_URL',
      },
    ];
  }
  try {
    return [
      ...(await serverFindings(client)),
      await migrationFinding(client),
      await poolFinding(client),
      await notifyFinding(client, directUrl),
    ];
  } finally {
    await client.end();
  }
}

async function serverFindings(client: pg.Client): Promise<Finding[]> {
  const before = Date.now();
  const { rows } = await client.query<{
    version: number;
    shown: string;
    fsync: string;
    connections: number;
    clock: number;
  }>(`SELECT current_setting('server_version_num')::int / 10000 AS version,
        current_setting('server_version') AS shown, current_setting('fsync') AS fsync,
        current_setting('max_connections')::int AS connections,
        (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS clock`);
  const after = Date.now();
  const row = rows[0];
  if (row === undefined) return [];
  return [
    row.version >= VERSION_MIN
      ? { state: 'ok', what: `Postgres ${row.shown}` }
      : {
          state: 'wrong',
          what: `Postgres ${row.shown}, expected ${VERSION_MIN} or newer`,
          mend: 'upgrade Postgres',
        },
    row.fsync === 'on'
      ? { state: 'ok', what: 'Postgres: fsync on' }
      : {
          state: 'wrong',
          what: 'Postgres: fsync off: a power cut destroys the database',
          mend: 'set fsync = on in postgresql.conf',
        },
    row.connections >= 4 * CONNECTIONS_PER_PROCESS
      ? { state: 'ok', what: `Postgres: max_connections ${row.connections}` }
      : {
          state: 'warn',
          what: `Postgres: max_connections ${row.connections} is enough for ${Math.floor(row.connections / CONNECTIONS_PER_PROCESS)} processes`,
          mend: 'raise max_connections or lower DATABASE_POOL_SIZE',
        },
    clockFinding('Postgres', row.clock, before, after),
  ];
}

async function migrationFinding(client: pg.Client): Promise<Finding> {
  try {
    const { rows } = await client.query<{ name: string }>('SELECT name FROM migrations');
    const missing = migrationNames().filter((name) => !rows.some((row) => row.name === name));
    return missing.length === 0
      ? { state: 'ok', what: 'Postgres: schema is up to date' }
      : {
          state: 'warn',
          what: `Postgres: ${missing.length} migrations are missing`,
          mend: 'millrace migrate (serve and worker do it at start, too)',
        };
  } catch (error) {
    if (sqlState(error) !== '42P01') throw error;
    return {
      state: 'warn',
      what: 'Postgres: no schema yet',
      mend: 'millrace migrate (serve and worker do it at start, too)',
    };
  }
}

/** A pooler in transaction mode may give each statement another backend, and its own settings with it. */
async function poolFinding(client: pg.Client): Promise<Finding> {
  await client.query(`SET application_name = 'millrace-doctor-probe'`);
  const pids = new Set<number>();
  const names = new Set<string>();
  for (let i = 0; i < 8; i++) {
    const { rows } = await client.query<{ pid: number; name: string }>(
      `SELECT pg_backend_pid() AS pid, current_setting('application_name') AS name`,
    );
    for (const row of rows) {
      pids.add(row.pid);
      names.add(row.name);
    }
  }
  return pids.size === 1 && names.size === 1
    ? { state: 'ok', what: 'Postgres: one session per connection' }
    : {
        state: 'warn',
        what: 'Postgres: DATABASE_URL is a pooler in transaction mode',
        mend: 'set DATABASE_DIRECT_URL to the server itself, for LISTEN',
      };
}

async function notifyFinding(client: pg.Client, directUrl: string): Promise<Finding> {
  const listener = new pg.Client({
    connectionString: directUrl,
    connectionTimeoutMillis: CONNECT_LIMIT_MS,
  });
  listener.on('error', () => undefined);
  const channel = `millrace_doctor_${process.pid}`;
  try {
    await listener.connect();
    await listener.query(`LISTEN ${channel}`);
    const begun = Date.now();
    const arrived = new Promise<number | undefined>((resolve) => {
      const limit = setTimeout(() => {
        resolve(undefined);
      }, NOTIFY_LIMIT_MS);
      listener.once('notification', () => {
        clearTimeout(limit);
        resolve(Date.now() - begun);
      });
    });
    await client.query('SELECT pg_notify($1, $2)', [channel, 'probe']);
    const ms = await arrived;
    return ms === undefined
      ? {
          state: 'wrong',
          what: `Postgres: NOTIFY does not arrive through ${directUrl}`,
          mend: 'set DATABASE_DIRECT_URL to the server itself: LISTEN does not work through a pooler in transaction mode',
        }
      : { state: 'ok', what: `Postgres: NOTIFY arrives after ${ms} ms` };
  } catch (error) {
    return {
      state: 'wrong',
      what: `Postgres: cannot LISTEN: ${error instanceof Error ? error.message : String(error)}`,
      mend: 'set DATABASE_DIRECT_URL to a connection that can LISTEN',
    };
  } finally {
    await listener.end().catch(() => undefined);
  }
}
