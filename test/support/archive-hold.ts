/**
 * Holds a thread's row, so that none of its new events reaches Postgres: they are in Redis and in the
 * worker's memory only, for as long as a test needs to take those two away.
 */
import type { Pool } from '../../src/postgres/pool.ts';
import { waitUntil } from './wait-until.ts';

export interface ArchiveHold {
  /** Waits until an archiver waits with events in hand: what it took before Redis lost them, it stores nowhere. */
  caught(): Promise<void>;
  /** Lets go; archivers that wait with events in hand lose their connection first, and so the events. */
  releaseLosing(): Promise<void>;
}

export async function holdArchive(pool: Pool, threadId: string): Promise<ArchiveHold> {
  const client = await pool.connect();
  await client.query('BEGIN');
  await client.query('SELECT 1 FROM threads WHERE thread_id = $1 FOR UPDATE', [threadId]);
  // Never asked in the transaction above: there all looks at the sessions show what the first one saw.
  const WAITING = `FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
  return {
    async caught() {
      await waitUntil(async () => ((await pool.query(`SELECT 1 ${WAITING}`)).rowCount ?? 0) > 0, {
        timeoutMs: 30_000,
        what: 'an archiver with events in hand',
      });
    },
    async releaseLosing() {
      const { rows } = await pool.query<{ pid: number }>(
        `SELECT pid, pg_terminate_backend(pid) ${WAITING}`,
      );
      // A signal takes a moment, and a lock that is free meanwhile would be taken.
      await waitUntil(
        async () => {
          const left = await pool.query('SELECT 1 FROM pg_stat_activity WHERE pid = ANY($1)', [
            rows.map(({ pid }) => pid),
          ]);
          return left.rowCount === 0;
        },
        { timeoutMs: 20_000, what: 'the waiting sessions to be gone' },
      );
      await client.query('ROLLBACK');
      client.release();
    },
  };
}
