/** Threads as the API shows them: their rows, made, read, changed, found and removed. */
import { copyThreadCheckpoints } from '../checkpoints/lifecycle.ts';
import { AppError } from '../errors.ts';
import { transaction } from '../postgres/pool.ts';
import type { Db, Pool } from '../postgres/pool.ts';
import { visibleSql } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';
import { deleteThreadData } from '../runs/retention.ts';
import { ThreadBusyError, ThreadNotFoundError } from '../runs/run.ts';
import { FIRST_TERM } from '../runs/first-term.ts';

export const THREAD_STATUSES = ['idle', 'busy', 'interrupted', 'error'] as const;
export type ThreadStatus = (typeof THREAD_STATUSES)[number];

export interface ThreadRow {
  thread_id: string;
  status: ThreadStatus;
  metadata: Record<string, unknown>;
  config: Record<string, unknown>;
  values: unknown;
  interrupts: Record<string, unknown>;
  error: unknown;
  active_runs: number;
  term: number;
  ttl_minutes: number | null;
  created_at: Date;
  updated_at: Date;
}

export const THREAD_COLUMNS = `thread_id, status, metadata, config, "values", interrupts, error, active_runs,
  term, ttl_minutes, created_at, updated_at`;

export class ThreadExistsError extends AppError {
  readonly code = 'thread_exists';
}

export const threadNotFound = (threadId: string): ThreadNotFoundError =>
  new ThreadNotFoundError(`Thread with ID ${threadId} not found`);

/** @returns undefined when the id is taken */
export async function createThread(
  db: Db,
  threadId: string,
  metadata: Record<string, unknown>,
  ttlMinutes?: number,
): Promise<ThreadRow | undefined> {
  const { rows } = await db.query<ThreadRow>({
    name: 'create-thread',
    text: `INSERT INTO threads (thread_id, metadata, ttl_minutes, term, log_term) SELECT $1, $2, $3, first.term, first.term
           FROM (SELECT ${FIRST_TERM} AS term) AS first ON CONFLICT DO NOTHING
           RETURNING ${THREAD_COLUMNS}`,
    values: [threadId, metadata, ttlMinutes],
  });
  return rows[0];
}

/** @throws {ThreadNotFoundError} also when the caller may not see it */
export async function readThread(
  db: Db,
  threadId: string,
  visible: Visibility,
): Promise<ThreadRow> {
  const { rows } = await db.query<ThreadRow>({
    name: 'read-thread',
    text: `SELECT ${THREAD_COLUMNS} FROM threads WHERE thread_id = $1 AND ${visibleSql('metadata', '$2')}`,
    values: [threadId, visible.metadata],
  });
  const row = rows[0];
  if (row === undefined) throw threadNotFound(threadId);
  return row;
}

/** Whether the thread is there, and the caller may not see it. */
export async function isForeignThread(
  db: Db,
  threadId: string,
  visible: Visibility,
): Promise<boolean> {
  if (visible.metadata === null) return false;
  const { rows } = await db.query<{ visible: boolean }>(
    'SELECT metadata @> $2::jsonb AS visible FROM threads WHERE thread_id = $1',
    [threadId, visible.metadata],
  );
  return rows[0]?.visible === false;
}

/** Merges `metadata`; without `ttlMinutes` the time to live stays as it is. @throws {ThreadNotFoundError} */
export async function updateThread(
  db: Db,
  threadId: string,
  visible: Visibility,
  metadata: Record<string, unknown>,
  ttlMinutes?: number,
): Promise<ThreadRow> {
  const { rows } = await db.query<ThreadRow>(
    `UPDATE threads SET metadata = metadata || $2, ttl_minutes = coalesce($3, ttl_minutes), updated_at = now()
     WHERE thread_id = $1 AND ${visibleSql('metadata', '$4')}
     RETURNING ${THREAD_COLUMNS}`,
    [threadId, metadata, ttlMinutes, visible.metadata],
  );
  const row = rows[0];
  if (row === undefined) throw threadNotFound(threadId);
  return row;
}

/** @returns undefined when the thread is gone */
export async function readTerm(db: Db, threadId: string): Promise<number | undefined> {
  const { rows } = await db.query<{ term: number }>(
    'SELECT term FROM threads WHERE thread_id = $1',
    [threadId],
  );
  return rows[0]?.term;
}

export interface ShownState {
  readonly values: unknown;
  readonly interrupts: Record<string, unknown>;
  /** Whose state it is; null: the thread had none. */
  readonly checkpointId: string | null;
  /** undefined: they stay. */
  readonly outcome: { readonly status: ThreadStatus; readonly error: unknown } | undefined;
}

/**
 * What the row shows after somebody changed the state over the API; nothing when there is a newer state, or a run has
 * begun: whoever made that shows it.
 * @param term of the thread before the state was read: a run, or a deletion, since then has raised it
 */
export async function showState(
  db: Db,
  threadId: string,
  term: number,
  state: ShownState,
): Promise<void> {
  await db.query(
    `UPDATE threads SET "values" = $2, interrupts = $3, updated_at = now(),
       status = coalesce($6, status), error = CASE WHEN $6::text IS NULL THEN error ELSE $7::json END
     WHERE thread_id = $1 AND active_runs = 0 AND term = $4 AND $5::text IS NOT DISTINCT FROM (
       SELECT checkpoint_id FROM checkpoints WHERE thread_id = $1 AND checkpoint_ns = '' ORDER BY position DESC LIMIT 1)`,
    [
      threadId,
      JSON.stringify(state.values),
      JSON.stringify(state.interrupts),
      term,
      state.checkpointId,
      state.outcome?.status,
      state.outcome?.error == null ? null : JSON.stringify(state.outcome.error),
    ],
  );
}

/**
 * Removes the thread with all that belongs to it, in one transaction.
 * @throws {ThreadNotFoundError}
 * @throws {ThreadBusyError} when a run is pending or running: cancel it first
 */
export async function deleteThread(
  pool: Pool,
  threadId: string,
  visible: Visibility,
): Promise<void> {
  await transaction(pool, async (db) => {
    const { rows } = await db.query<{ active_runs: number }>(
      `SELECT active_runs FROM threads
       WHERE thread_id = $1 AND ${visibleSql('metadata', '$2')} FOR UPDATE`,
      [threadId, visible.metadata],
    );
    const row = rows[0];
    if (row === undefined) throw threadNotFound(threadId);
    if (row.active_runs > 0) throw new ThreadBusyError('Thread is busy');
    await deleteThreadData(db, threadId);
    await db.query('DELETE FROM threads WHERE thread_id = $1', [threadId]);
  });
}

/**
 * A new thread with the same states.
 * @param visible of `from`
 * @param metadata of the new one, on top of those of `from`
 * @returns undefined when there is no thread `from`
 */
export async function copyThread(
  pool: Pool,
  from: string,
  to: string,
  visible: Visibility,
  metadata: Record<string, unknown>,
): Promise<ThreadRow | undefined> {
  return transaction(pool, async (db) => {
    // Row and states of one moment. Rather than a lock: a copy of much must not hold up the thread's runs.
    await db.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    const { rows } = await db.query<ThreadRow>(
      `INSERT INTO threads (thread_id, metadata, config, "values", interrupts)
       SELECT $2::uuid, metadata || $4::jsonb || jsonb_build_object('thread_id', $2::text), config, "values", interrupts
       FROM threads WHERE thread_id = $1 AND ${visibleSql('metadata', '$3')}
       RETURNING ${THREAD_COLUMNS}`,
      [from, to, visible.metadata, metadata],
    );
    const row = rows[0];
    if (row !== undefined) await copyThreadCheckpoints(db, from, to);
    return row;
  });
}

export interface ThreadSearch {
  readonly visible: Visibility;
  readonly metadata?: Record<string, unknown> | undefined;
  /** Contained in the thread's values. */
  readonly values?: Record<string, unknown> | undefined;
  readonly status?: ThreadStatus | undefined;
  readonly ids?: readonly string[] | undefined;
}

export interface ThreadPage {
  readonly limit: number;
  readonly offset: number;
  readonly sortBy: 'thread_id' | 'status' | 'created_at' | 'updated_at';
  readonly sortOrder: 'asc' | 'desc';
}

// Values are json and may hold what jsonb refuses: such a thread matches nothing instead of failing the search.
const MATCHES = `NOT hidden
  AND ($1::jsonb IS NULL OR metadata @> $1)
  AND ($2::jsonb IS NULL OR CASE WHEN "values"::text !~ '\\\\u(0000|d[89a-f])' THEN "values"::jsonb @> $2 END)
  AND ($3::text IS NULL OR status = $3)
  AND ($4::uuid[] IS NULL OR thread_id = ANY($4)) AND ${visibleSql('metadata', '$5')}`;

const matchValues = (search: ThreadSearch): unknown[] => [
  search.metadata,
  search.values,
  search.status,
  search.ids,
  search.visible.metadata,
];

export async function searchThreads(
  db: Db,
  search: ThreadSearch,
  page: ThreadPage,
): Promise<ThreadRow[]> {
  const { rows } = await db.query<ThreadRow>(
    `SELECT ${THREAD_COLUMNS} FROM threads WHERE ${MATCHES}
     ORDER BY ${page.sortBy} ${page.sortOrder}, thread_id LIMIT $6 OFFSET $7`,
    [...matchValues(search), page.limit, page.offset],
  );
  return rows;
}

export async function countThreads(db: Db, search: ThreadSearch): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    `SELECT count(*) FROM threads WHERE ${MATCHES}`,
    matchValues(search),
  );
  return rows[0]?.count ?? 0;
}

/** Threads whose last run was the assistant's, of stateless runs too. */
export async function threadsOfAssistant(
  db: Db,
  assistantId: string,
  visible: Visibility,
): Promise<string[]> {
  const { rows } = await db.query<{ thread_id: string }>(
    `SELECT thread_id FROM threads WHERE metadata @> $1 AND ${visibleSql('metadata', '$2')}`,
    [{ assistant_id: assistantId }, visible.metadata],
  );
  return rows.map((row) => row.thread_id);
}
