/** Making threads smaller, or removing them, many at once. */
import { keepLatestCheckpoints } from '../checkpoints/lifecycle.ts';
import { transaction } from '../postgres/pool.ts';
import type { Pool } from '../postgres/pool.ts';

/**
 * Removes all states of a thread but the latest of each namespace.
 * @returns false when the thread is not there, or a run of it is pending or running
 */
export async function pruneToLatest(pool: Pool, threadId: string): Promise<boolean> {
  return transaction(pool, async (db) => {
    const { rows } = await db.query(
      'SELECT 1 FROM threads WHERE thread_id = $1 AND active_runs = 0 FOR UPDATE',
      [threadId],
    );
    if (rows.length === 0) return false;
    await keepLatestCheckpoints(db, threadId);
    return true;
  });
}
