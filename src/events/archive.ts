/**
 * The log's durable part, in Postgres. Every write locks the thread's row first and decides on the
 * locked row, so that a stale archiver, a zombie and a claim cannot interleave:
 * a row is accepted exactly when it is the next one (archived_seq + 1) and of the newest started term.
 *
 * Rows go in as one JSON parameter: the driver's own encoding of arrays costs more than the INSERT.
 */
import type { Db } from '../postgres/pool.ts';
import type { LogEvent } from './event.ts';

export interface ArchiveRow extends LogEvent {
  readonly threadId: string;
  readonly seq: number;
  readonly term: number;
}

/** Rows as the statements below expect them in a `$n::json` parameter. */
export const encodeRows = (rows: readonly ArchiveRow[]): string =>
  JSON.stringify(rows.map((r) => ({ k: r.threadId, s: r.seq, m: r.term, y: r.type, d: r.data })));

/**
 * CTEs `batch`, `head`, `dense` and `stored` for a statement whose parameter `rows` holds the events and
 * whose `head` selects and locks the threads. `dense` are the rows that this statement adds.
 */
export const storeRowsSql = (rows: string, head: string): string => `
  batch AS MATERIALIZED (
    SELECT k AS thread_id, s AS seq, m AS term, y AS type, d AS data
    FROM json_to_recordset(${rows}::json) AS b(k uuid, s bigint, m bigint, y text, d text)
  ), head AS MATERIALIZED (
    ${head}
  ), fresh AS MATERIALIZED (
    SELECT b.*, h.archived_seq, row_number() OVER (PARTITION BY b.thread_id ORDER BY b.seq) AS n
    FROM batch b JOIN head h USING (thread_id)
    WHERE b.term = h.log_term AND b.seq > h.archived_seq
  ), dense AS MATERIALIZED (
    SELECT * FROM fresh WHERE seq = archived_seq + n
  ), stored AS (
    INSERT INTO events (thread_id, seq, term, type, data)
    SELECT thread_id, seq, term, type, data FROM dense ORDER BY thread_id, seq
    ON CONFLICT DO NOTHING
  )`;

const ARCHIVE_SQL = `WITH ${storeRowsSql(
  '$1',
  // Sorted, so that two archivers with the same threads cannot deadlock.
  `SELECT thread_id, log_term, archived_seq FROM threads
   WHERE thread_id IN (SELECT thread_id FROM batch) ORDER BY thread_id FOR NO KEY UPDATE`,
)}, watermark AS (
    UPDATE threads t SET archived_seq = d.last
    FROM (SELECT thread_id, max(seq) AS last FROM dense GROUP BY thread_id) d
    WHERE t.thread_id = d.thread_id RETURNING t.thread_id, t.archived_seq
  )
  SELECT h.thread_id, coalesce(w.archived_seq, h.archived_seq) AS archived_seq
  FROM head h LEFT JOIN watermark w USING (thread_id)`;

/**
 * Stores rows of many threads; rows that are not the next of the newest term are passed over.
 * @returns archived seq by thread; threads that are gone are missing
 */
export async function archiveRows(
  db: Db,
  rows: readonly ArchiveRow[],
): Promise<Map<string, number>> {
  const result = await db.query<{ thread_id: string; archived_seq: number }>({
    name: 'archive-rows',
    text: ARCHIVE_SQL,
    values: [encodeRows(rows)],
  });
  return new Map(result.rows.map((row) => [row.thread_id, row.archived_seq]));
}

const DIRECT_SQL = `WITH ${storeRowsSql(
  '$1',
  `SELECT thread_id, log_term, archived_seq FROM threads
   WHERE thread_id = $2 AND term = $3 AND log_term = $3 FOR NO KEY UPDATE`,
)}, watermark AS (
    UPDATE threads t SET archived_seq = greatest(h.archived_seq, (SELECT max(seq) FROM dense))
    FROM head h WHERE t.thread_id = h.thread_id RETURNING t.archived_seq
  )
  SELECT archived_seq FROM watermark`;

/**
 * The direct path's append: as archiveRows, but of one thread and refused for any term but the current one.
 * Waits for the disk even when `rows` adds nothing: what it answers is there for good.
 * @returns the archived seq, or undefined when `term` is fenced
 */
export async function archiveOwnRows(
  db: Db,
  threadId: string,
  term: number,
  rows: readonly ArchiveRow[],
): Promise<number | undefined> {
  const result = await db.query<{ archived_seq: number }>({
    name: 'archive-own-rows',
    text: DIRECT_SQL,
    values: [encodeRows(rows), threadId, term],
  });
  return result.rows[0]?.archived_seq;
}
