/** One read from a database that is not ours: a connection of its own, read-only, bounded in time and rows. */
import pg from 'pg';
import { AppError } from '../errors.ts';

export interface ForeignQuery {
  readonly url: string;
  /** One SELECT, with $1, $2, … */
  readonly text: string;
  readonly values: readonly unknown[];
  readonly rowsMax: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** The other database's doing, never a reason to try the whole run again. */
export class ForeignQueryError extends AppError {
  readonly code = 'node_failed';
}

/** @throws {ForeignQueryError} */
export async function queryForeign(query: ForeignQuery): Promise<Record<string, unknown>[]> {
  const { timeoutMs, signal } = query;
  signal.throwIfAborted();
  const client = new pg.Client({
    connectionString: query.url,
    application_name: 'millrace-data-source',
    connectionTimeoutMillis: timeoutMs,
    statement_timeout: timeoutMs,
    query_timeout: timeoutMs,
  });
  // Without a listener a connection that breaks would end the process.
  client.on('error', () => undefined);
  const end = (): void => void client.end().catch(() => undefined);
  signal.addEventListener('abort', end, { once: true });
  try {
    await client.connect();
    await client.query('BEGIN READ ONLY');
    const text = query.text.trim().replace(/;$/, '');
    const statement: pg.QueryConfig & { queryMode: 'extended' } = {
      text: `SELECT * FROM (${text}\n) AS source LIMIT ${query.rowsMax}`,
      values: [...query.values],
      // One statement only: the simple protocol, which the driver takes without values, would go on after a COMMIT.
      queryMode: 'extended',
    };
    const { rows } = await client.query<Record<string, unknown>>(statement);
    return rows;
  } catch (cause) {
    signal.throwIfAborted();
    // No cause: its text may tell of the connection.
    throw new ForeignQueryError(`query: ${cause instanceof Error ? cause.message : String(cause)}`);
  } finally {
    signal.removeEventListener('abort', end);
    end();
  }
}
