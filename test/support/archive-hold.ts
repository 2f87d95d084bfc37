/**
 * Holds a thread's row, so that none of its new events reaches Postgres: they are in Redis and in the
 * worker's memory only, for as long as a test needs to take those two away.
 */
import type { Pool } from '../../src/postgres/pool.ts';

export interface ArchiveHold {
  /** Lets go; archivers that wait with events in hand lose their connection first, and so the events. */
  releaseLosing(): Promise<void>;
}

export async function holdArchive(pool: Pool, threadId: string): Promise<ArchiveHold> {
  const client = await pool.connect();
  await client.query('BEGIN');
  await client.query('SELECT 1 FROM threads WHERE thread_id = $1 FOR UPDATE', [threadId]);
  return {
    async releaseLosing() {
      await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      await client.query('ROLLBACK');
      client.release();
    },
  };
}
