/** Connections to Postgres. The only file, with listen.ts, that imports the driver. */
import { isNativeError } from 'node:util/types';
import pg from 'pg';

export type Pool = pg.Pool;
/** A pool, or one connection of it inside a transaction. */
export type Db = Pick<pg.Pool, 'query'>;

// Row counts, seqs and terms fit a double by far (2^53); bigint's default of text would leak everywhere.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export interface PoolOptions {
  url: string;
  connectionsMax: number;
  /** Shown in pg_stat_activity. */
  name: string;
  /**
   * false: statements are not prepared. A pooler in transaction mode gives each transaction another session, which
   * does not know what was prepared; only pgbouncer 1.21 and newer keeps track of it. Default true.
   */
  prepare?: boolean;
  /**
   * A statement outside a transaction that is not answered for so long fails, and its connection is closed: one whose other
   * end is gone without a word says nothing for a quarter of an hour. Postgres may still carry it out; in a transaction
   * it would be undone, and a long one could never succeed. Absent: statements may take any time.
   */
  queryLimitMs?: number;
}

/** A named statement is prepared under its name by the driver: without the name it is parsed each time. */
class UnpreparedClient extends pg.Client {
  // One signature for all of the driver's overloads, which only pass through.
  override query(...args: never[]): never {
    const [first, ...rest] = args as unknown[];
    const given =
      typeof first === 'object' && first !== null && 'name' in first && 'text' in first
        ? { ...first, name: undefined }
        : first;
    const query = super.query.bind(this) as (...all: unknown[]) => unknown;
    return query(given, ...rest) as never;
  }
}

export function createPool(options: PoolOptions, onError: (error: Error) => void): Pool {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.connectionsMax,
    application_name: options.name,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    ...(options.prepare === false ? { Client: UnpreparedClient } : {}),
  });
  // Without a listener an idle connection that breaks would end the process.
  pool.on('error', onError);
  // So would one in use, where it says so twice: to the query under way, and as an event. Heard from its first moment
  // on: a server that shuts down can refuse a connection in the same packet that opened it, before anybody has it.
  pool.on('connect', (client) => client.on('error', ignore));
  if (options.queryLimitMs !== undefined) limitQueries(pool, options.queryLimitMs);
  return pool;
}

/** The driver knows a limit of one statement, though its types do not. */
function limitQueries(pool: Pool, limitMs: number): void {
  const query = pool.query.bind(pool) as (...args: unknown[]) => unknown;
  const limit = { query_timeout: limitMs };
  const limited = (first: string | object, ...rest: unknown[]): unknown =>
    query(typeof first === 'string' ? { text: first, ...limit } : { ...first, ...limit }, ...rest);
  pool.query = limited as typeof pool.query;
}

/**
 * A client that vanishes inside a transaction keeps its locks until Postgres ends it: nothing between two statements may
 * take as long. Not a setting of the session, because a pooler gives the next transaction another one.
 */
const IDLE_MS_MAX = 60_000;
/** One message, so one round trip. */
const BEGIN = `BEGIN; SET LOCAL idle_in_transaction_session_timeout = ${IDLE_MS_MAX}`;

/** Runs `work` in one transaction; an error rolls it back. */
export async function transaction<T>(pool: Pool, work: (db: Db) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query(BEGIN);
    const result = await work(client);
    await client.query('COMMIT');
    client.release();
    return result;
  } catch (error) {
    // A connection that cannot roll back is not given back to the pool.
    const broken = await client.query('ROLLBACK').then(
      () => false,
      () => true,
    );
    client.release(broken);
    throw error;
  }
}

const ignore = (): void => undefined;

/** Postgres error code (SQLSTATE) of `error`, if it came from the server. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/**
 * SQLSTATEs after which the same statement may succeed: connection, resources, shutdown, serialization, limits of time
 * (of a transaction 25P03 and 25P04, of a statement 57014, of a lock 55P03), and read only, which is what a primary says
 * that a failover has just made a standby.
 */
const TRANSIENT = /^(08|53|57P0|40|25006|25P0[34]|57014|55P03)/;
/** Those that Postgres says of one statement or transaction, while others get through. */
const IN_THE_WAY = /^(40|25P0[34]|57014|55P03)/;
/** Errors of the socket, and of the driver when a connection ends under a query. */
const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
]);

/** True when Postgres was away, starting, stopping or overloaded: retrying later is right. */
export function isTransient(error: unknown): boolean {
  // A host with several addresses: the error has one for each, and the code of the first.
  return (
    isTransientItself(error) ||
    (isNativeError(error) &&
      'errors' in error &&
      Array.isArray(error.errors) &&
      error.errors.length > 0 &&
      error.errors.every(isTransientItself))
  );
}

/** True when nobody may have got through to Postgres. */
export const wasAway = (error: unknown): boolean =>
  isTransient(error) && !IN_THE_WAY.test(sqlState(error) ?? '');

function isTransientItself(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined) return TRANSIENT.test(state);
  if (!isNativeError(error)) return false;
  if ('code' in error && NETWORK.has(String(error.code))) return true;
  // The driver gives these no code.
  return /^(Connection terminated|Query read timeout|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed)/.test(
    error.message,
  );
}
