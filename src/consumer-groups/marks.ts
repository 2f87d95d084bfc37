/**
 * From marks to positions. A mark says that a thread's archive has grown; it is appended by the statement that
 * archives (a trigger, see the migration), so none is lost, and collected here in batches.
 */
import type { Db } from '../postgres/pool.ts';

const MARKS_MAX = 1_000;
const SEED_THREADS = 1_000;
/** One collector at a time: a later mark of a thread that came first would hide where a group begins. */
const COLLECT_LOCK = 718_281_830;

/** @returns how many marks were collected; MARKS_MAX or less */
export async function collectMarks(db: Db): Promise<{ more: boolean }> {
  const { rows } = await db.query<{ n: number }>({
    name: 'collect-consumer-group-marks',
    text: `
      WITH lock AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(${COLLECT_LOCK}) AS mine),
      taken AS MATERIALIZED (
        SELECT position, thread_id, from_seq, marked_at FROM consumer_group_marks
        WHERE (SELECT mine FROM lock) ORDER BY position LIMIT ${MARKS_MAX} FOR UPDATE
      ), gone AS (
        DELETE FROM consumer_group_marks m USING taken WHERE m.position = taken.position
      ), marked AS MATERIALIZED (
        SELECT t.thread_id, t.archived_seq, m.from_seq, m.marked_at
        FROM (SELECT thread_id, min(from_seq) AS from_seq, min(marked_at) AS marked_at FROM taken GROUP BY thread_id) m
        JOIN threads t USING (thread_id) ORDER BY t.thread_id FOR KEY SHARE OF t
      ), placed AS (
        INSERT INTO consumer_group_positions AS p (group_id, thread_id, seq, archived_seq, waiting_since)
        SELECT g.group_id, m.thread_id, CASE WHEN g.from_start THEN 0 ELSE m.from_seq END, m.archived_seq, m.marked_at
        FROM consumer_groups g CROSS JOIN marked m
        WHERE g.thread_id IS NULL OR g.thread_id = m.thread_id ORDER BY 1, 2
        ON CONFLICT (group_id, thread_id) DO UPDATE SET
          archived_seq = greatest(p.archived_seq, excluded.archived_seq),
          waiting_since = CASE WHEN p.archived_seq > p.seq THEN p.waiting_since ELSE excluded.waiting_since END,
          rest_from = CASE WHEN p.archived_seq > p.seq THEN coalesce(p.rest_from, p.archived_seq) END,
          rest_since = CASE WHEN p.archived_seq > p.seq THEN coalesce(p.rest_since, excluded.waiting_since) END,
          next_attempt_at = CASE WHEN p.archived_seq > p.seq THEN p.next_attempt_at ELSE now() END
      )
      SELECT count(*) AS n FROM taken`,
  });
  return { more: rows[0]?.n === MARKS_MAX };
}

/**
 * Gives one group that begins at the start its positions in a page of the threads that are there.
 * @returns false when there is no such group
 */
export async function seedPositions(db: Db): Promise<boolean> {
  const { rows } = await db.query({
    name: 'seed-consumer-group-positions',
    text: `
      WITH g AS MATERIALIZED (
        SELECT group_id, seeded_to, thread_id FROM consumer_groups
        WHERE seeded_to IS NOT NULL ORDER BY group_id LIMIT 1 FOR UPDATE SKIP LOCKED
      ), page AS MATERIALIZED (
        SELECT thread_id, archived_seq FROM threads
        WHERE thread_id > (SELECT seeded_to FROM g) ORDER BY thread_id LIMIT ${SEED_THREADS} FOR KEY SHARE
      ), added AS (
        INSERT INTO consumer_group_positions (group_id, thread_id, seq, archived_seq)
        SELECT g.group_id, page.thread_id, 0, page.archived_seq FROM g CROSS JOIN page
        WHERE page.archived_seq > 0 AND (g.thread_id IS NULL OR g.thread_id = page.thread_id)
        ON CONFLICT DO NOTHING
      )
      UPDATE consumer_groups c SET seeded_to = CASE WHEN (SELECT count(*) FROM page) = ${SEED_THREADS}
        THEN (SELECT thread_id FROM page ORDER BY thread_id DESC LIMIT 1) END
      FROM g WHERE c.group_id = g.group_id RETURNING 1`,
  });
  return rows.length > 0;
}
