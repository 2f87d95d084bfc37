/**
 * Where a reader of a whole thread begins: a client's Last-Event-ID, or its `since`, as a position in
 * the log.
 *
 * An event id names seq and term, so what the log has lost since is found out, and told. `since` is only
 * a seq: it means what HTTP.md says of it, `seq > since`, in the log as it is now. Of a thread without a broken
 * attempt that is the same.
 */
import { AppError } from '../../errors.ts';
import type { Position } from '../../events/event.ts';
import type { Db } from '../../postgres/pool.ts';
import { InputInvalidError } from '../problem.ts';
import { parseThreadEventId } from './event-ids.ts';
import type { ThreadEventId } from './event-ids.ts';

/** A well-formed id of no event of this thread. */
export class ThreadCursorInvalidError extends AppError {
  readonly code = 'cursor_invalid';
}

export interface ThreadCursor {
  readonly lastEventId: string | undefined;
  /** A seq, or an event id. */
  readonly since: number | string | undefined;
}

interface Row {
  term: number;
  log_clean: boolean;
  archived_seq: number;
  term_at: number | null;
  unbroken_term_at: number | null;
}

const PLACE = `
  SELECT t.term, t.log_clean, t.archived_seq,
    (SELECT max(m.term) FROM terms m WHERE m.thread_id = t.thread_id AND m.start_seq <= $2) AS term_at,
    (SELECT max(m.term) FROM terms m WHERE m.thread_id = t.thread_id AND m.start_seq <= $2 AND m.term <
      coalesce((SELECT min(b.term) FROM terms b WHERE b.thread_id = t.thread_id AND b.attempt > 1), 9007199254740991)
    ) AS unbroken_term_at
  FROM threads t WHERE t.thread_id = $1`;

/**
 * @returns undefined: from the start
 * @throws {InputInvalidError} what is no event id
 * @throws {ThreadCursorInvalidError} an id of no event of this thread
 */
export async function findThreadPosition(
  db: Db,
  threadId: string,
  cursor: ThreadCursor,
): Promise<Position | undefined> {
  const id = idOf(cursor);
  if (id === null || id.seq === 0) return undefined;
  const { rows } = await db.query<Row>({
    name: 'thread-position',
    text: PLACE,
    values: [threadId, id.seq],
  });
  const row = rows[0];
  // No thread, or one without a log: whatever comes begins with seq 1.
  if (row === undefined) return undefined;
  if (typeof cursor.since === 'number' && !hasHeader(cursor)) {
    const { term_at: term } = row;
    return term === null ? undefined : { seq: id.seq, term };
  }
  const term = id.term ?? row.unbroken_term_at;
  const ahead = row.log_clean && id.seq > row.archived_seq;
  if (term === null || term > row.term || ahead)
    throw new ThreadCursorInvalidError(
      `${id.term === undefined ? id.seq : `${id.seq}-${id.term}`} is the id of no event of thread ${threadId}`,
    );
  return { seq: id.seq, term };
}

const hasHeader = ({ lastEventId }: ThreadCursor): boolean =>
  lastEventId !== undefined && lastEventId !== '';

/** The header is the younger of the two: a client that reconnects repeats its body. */
function idOf(cursor: ThreadCursor): ThreadEventId | null {
  const { lastEventId, since } = cursor;
  const name = hasHeader(cursor) ? 'Last-Event-ID' : 'since';
  const text = hasHeader(cursor) ? (lastEventId ?? '') : String(since ?? '');
  const id = parseThreadEventId(text);
  if (id === undefined)
    throw new InputInvalidError(
      `${name}: expected an event id, <seq> or <seq>-<term>, found ${JSON.stringify(text.slice(0, 80))}`,
    );
  return id;
}
