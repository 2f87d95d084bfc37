/** Making threads smaller, or removing them, many at once. */
import { keepLatestCheckpoints } from '../checkpoints/lifecycle.ts';
import { transaction } from '../postgres/pool.ts';
import type { Pool } from '../postgres/pool.ts';
import { visibleSql } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';

/**
 * Removes all states of a thread but the latest of each namespace.
 * @returns false when the thread is not there for the caller, or a run of it is pending or running
 */
export async function pruneToLatest(
  pool: Pool,
  threadId: string,
  visible: Visibility,
): Promise<boolean> {
  return transaction(pool, async (db) => {
    const { rows } = await db.query(
      `SELECT 1 FROM threads
       WHERE thread_id = $1 AND active_runs = 0 AND ${visibleSql('metadata', '$2')} FOR UPDATE`,
      [threadId, visible.metadata],
    );
    if (rows.length === 0) return false;
    // A state update that has read what goes now would leave out values that it believes stored: it is refused.
    await db.query('UPDATE threads SET term = term + 1 WHERE thread_id = $1', [threadId]);
    await keepLatestCheckpoints(db, threadId);
    return true;
  });
}
