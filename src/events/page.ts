/**
 * One page of a log from a position on, as a reader that catches up needs it: first what Postgres has,
 * then what only Redis has. In this order nothing can fall between the two: Redis drops only what
 * Postgres holds already, so what Redis no longer has is found by the next page.
 */
import type { Db } from '../postgres/pool.ts';
import type { Redis } from '../redis/connect.ts';
import type { Keys } from '../redis/keys.ts';
import { decodePayload } from './event.ts';
import type { LogEvent } from './event.ts';

/** Events a page, and bytes above which it takes no more: a compromise of round trips and of memory a slow reader holds. */
const PAGE_EVENTS_MAX = 1_000;
const PAGE_BYTES_MAX = 4 * 1024 * 1024;

export interface PageDeps {
  readonly db: Db;
  readonly keys: Keys;
  /** undefined: no Redis is configured. */
  readonly redis: Redis | undefined;
}

/** The run's row in the same snapshot as the page. */
export interface PageRun {
  status: string;
  firstSeq: number | null;
  lastSeq: number | null;
  term: number | null;
}

export interface PageEvent extends LogEvent {
  readonly seq: number;
  readonly term: number;
}

export interface Page {
  /** In order. From `after + 1` on without a hole, but for ranges that were rolled back. */
  events: PageEvent[];
  /** Where the reader stands after this page (also past a void range at the end). */
  seq: number;
  /** More may be there: ask again. */
  more: boolean;
  run: PageRun | undefined;
  /** The log's newest term: what is archived is of it or of an earlier one. */
  logTerm: number;
  /** Smallest start of the terms later than the position's: at or below its seq, what it has was lost. */
  laterStart: number;
}

interface Row {
  later_start: number | null;
  archived_seq: number;
  log_term: number;
  status: string | null;
  first_seq: number | null;
  last_seq: number | null;
  run_term: number | null;
  seq: number | null;
  term: number;
  type: string;
  data: string;
  /** Bytes of this event and of those before it on the page. */
  size: number;
}

// One statement, so that head, run and events are of one snapshot: while the run has no last_seq
// there, no event of a later run can be in it.
const PAGE_SQL = `
  SELECT t.archived_seq, t.log_term,
    (SELECT min(start_seq) FROM terms WHERE thread_id = $1 AND term > $4) AS later_start, r.status, r.first_seq, r.last_seq, r.term AS run_term, e.seq, e.term, e.type, e.data, e.size
  FROM threads t
  LEFT JOIN runs r ON r.run_id = $3 AND r.thread_id = t.thread_id
  LEFT JOIN LATERAL (
    SELECT * FROM (
      SELECT seq, term, type, data, sum(octet_length(data)) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS size FROM events
      WHERE thread_id = $1 AND seq > greatest($2, coalesce(r.first_seq, 0) - 1)
        AND seq <= coalesce(r.last_seq, 9007199254740991)
        AND ($3::uuid IS NULL OR r.first_seq IS NOT NULL)
      ORDER BY seq LIMIT ${PAGE_EVENTS_MAX}
    ) page WHERE size - octet_length(data) < ${PAGE_BYTES_MAX}
  ) e ON true
  WHERE t.thread_id = $1`;

/**
 * @param after the last event the reader has; seq 0 for none, term undefined when it has none of this log
 * @param runId read this run's range only; null for the whole thread
 * @returns undefined when the thread, or the run, is gone
 */
export async function readPage(
  deps: PageDeps,
  threadId: string,
  after: { readonly seq: number; readonly term: number | undefined },
  runId: string | null,
): Promise<Page | undefined> {
  const { rows } = await deps.db.query<Row>({
    name: 'read-page',
    text: PAGE_SQL,
    values: [threadId, after.seq, runId, after.term ?? null],
  });
  const head = rows[0];
  if (head === undefined) return undefined;
  if (runId !== null && head.status === null) return undefined;
  const run = head.status === null ? undefined : pageRun(head);

  const events: PageEvent[] = [];
  for (const row of rows)
    if (row.seq !== null)
      events.push({ seq: row.seq, term: row.term, type: row.type, data: row.data });
  const laterStart = head.later_start ?? Infinity;
  const full = events.length === PAGE_EVENTS_MAX || (rows.at(-1)?.size ?? 0) >= PAGE_BYTES_MAX;
  const lastRow = events.at(-1)?.seq ?? after.seq;
  if (full) return { events, seq: lastRow, more: true, run, logTerm: head.log_term, laterStart };

  // The archive is dense up to archived_seq: what is missing there was rolled back.
  const upTo =
    run === undefined ? head.archived_seq : Math.min(head.archived_seq, run.lastSeq ?? Infinity);
  const start = (run?.firstSeq ?? 1) - 1;
  let seq = Math.max(lastRow, run?.firstSeq === null ? after.seq : upTo, start);
  if (run !== undefined && (run.lastSeq !== null || run.firstSeq === null))
    return { events, seq, more: false, run, logTerm: head.log_term, laterStart };

  const tail = await readTail(deps, threadId, seq);
  let more = tail.length === PAGE_EVENTS_MAX;
  for (const event of tail) {
    // Trimmed in between, so Postgres has it now; or a newer term has begun since the snapshot.
    if (event.seq !== seq + 1 || event.term > head.log_term) {
      more = true;
      break;
    }
    // Left over from a time that Redis went back to: nobody will ever archive it.
    if (event.term < head.log_term) break;
    events.push(event);
    seq = event.seq;
  }
  return { events, seq, more, run, logTerm: head.log_term, laterStart };
}

function pageRun(row: Row): PageRun {
  return {
    status: row.status ?? '',
    firstSeq: row.first_seq,
    lastSeq: row.last_seq,
    term: row.run_term,
  };
}

async function readTail(deps: PageDeps, threadId: string, after: number): Promise<PageEvent[]> {
  const { redis } = deps;
  if (redis?.status !== 'ready') return [];
  const entries = await redis
    .xrange(deps.keys.log(threadId).stream, `${after + 1}-0`, '+', 'COUNT', PAGE_EVENTS_MAX)
    // Redis is the speed: without it the archive alone answers, later.
    .catch(() => []);
  return entries.map(([id, fields]) => {
    const [seq, term] = id.split('-').map(Number);
    return { seq: seq ?? 0, term: term ?? 0, ...decodePayload(fields[1] ?? '') };
  });
}
