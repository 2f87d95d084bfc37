/** Removing what nobody needs any more: in bounded batches, everything of a thread in one transaction. */
import { deleteThreadCheckpoints } from '../checkpoints/lifecycle.ts';
import { transaction } from '../postgres/pool.ts';
import type { Db, Pool } from '../postgres/pool.ts';

const THREADS_MAX = 500;
/** A thread that nobody will see again is kept for consumer groups that have not had all of it, for this long. */
const UNDELIVERED_DAYS = 1;
const UNDELIVERED = `updated_at > now() - interval '${UNDELIVERED_DAYS} day' AND (
  EXISTS (SELECT 1 FROM consumer_group_positions p WHERE p.thread_id = threads.thread_id AND p.archived_seq > p.seq)
  OR EXISTS (SELECT 1 FROM consumer_group_dead_letters d WHERE d.thread_id = threads.thread_id))`;
const OUTLIVED = `ttl_minutes IS NOT NULL AND updated_at < now() - ttl_minutes * interval '1 minute'`;

/** Everything of a thread but its row; call it under the row's lock, then delete the row. */
export async function deleteThreadData(db: Db, threadId: string): Promise<void> {
  await deleteThreadCheckpoints(db, threadId);
  await db.query('DELETE FROM events WHERE thread_id = $1', [threadId]);
  await db.query('DELETE FROM terms WHERE thread_id = $1', [threadId]);
  await db.query('DELETE FROM voids WHERE thread_id = $1', [threadId]);
}

/**
 * Threads of finished stateless runs, `ttlMs` after the end: until then a client may still come back. And
 * threads that were given a time of their own, that long after they were last used.
 */
export async function deleteExpiredThreads(pool: Pool, ttlMs: number): Promise<number> {
  const { rows } = await pool.query<{ thread_id: string }>(
    `SELECT thread_id FROM threads
     WHERE hidden AND active_runs = 0 AND created_at < now() - $1 * interval '1 ms'
       AND updated_at < now() - $1 * interval '1 ms' AND NOT (${UNDELIVERED})
     UNION ALL
     SELECT thread_id FROM threads WHERE ${OUTLIVED} AND active_runs = 0 LIMIT $2`,
    [ttlMs, THREADS_MAX],
  );
  for (const { thread_id: threadId } of rows)
    await transaction(pool, async (db) => {
      const locked = await db.query(
        `SELECT 1 FROM threads WHERE thread_id = $1 AND active_runs = 0 AND (hidden OR ${OUTLIVED})
         FOR UPDATE SKIP LOCKED`,
        [threadId],
      );
      if (locked.rows.length === 0) return;
      await deleteThreadData(db, threadId);
      await db.query('DELETE FROM threads WHERE thread_id = $1', [threadId]);
    });
  return rows.length;
}
