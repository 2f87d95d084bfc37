/** Runs as the API reads and removes them. */
import { deleteRunCheckpoints } from '../checkpoints/lifecycle.ts';
import { transaction } from '../postgres/pool.ts';
import type { Db, Pool } from '../postgres/pool.ts';
import { visibleThreadSql } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';
import { runningOf } from '../postgres/active-runs.ts';
import { isTerminal, RUN_COLUMNS, RunNotFoundError, ThreadBusyError } from './run.ts';
import type { RunRow, RunStatus } from './run.ts';

/** @throws {RunNotFoundError} also when the run is another thread's, or one that the caller may not see */
export async function readRun(
  db: Db,
  threadId: string,
  runId: string,
  visible: Visibility,
): Promise<RunRow> {
  const { rows } = await db.query<RunRow>({
    name: 'read-run',
    text: `SELECT ${RUN_COLUMNS} FROM runs
           WHERE run_id = $1 AND thread_id = $2 AND ${visibleThreadSql('runs.thread_id', '$3')}`,
    values: [runId, threadId, visible.metadata],
  });
  const row = rows[0];
  if (row === undefined) throw new RunNotFoundError('Run not found');
  return row;
}

/** @throws {RunNotFoundError} */
export async function findThreadOfRun(db: Db, runId: string): Promise<string> {
  const { rows } = await db.query<{ thread_id: string }>(
    'SELECT thread_id FROM runs WHERE run_id = $1',
    [runId],
  );
  const row = rows[0];
  if (row === undefined) throw new RunNotFoundError('Run not found');
  return row.thread_id;
}

/** Newest first. */
export async function listRuns(
  db: Db,
  threadId: string,
  visible: Visibility,
  page: { limit: number; offset: number; status: RunStatus | undefined },
): Promise<RunRow[]> {
  const { rows } = await db.query<RunRow>(
    `SELECT ${RUN_COLUMNS} FROM runs WHERE thread_id = $1 AND ($2::text IS NULL OR status = $2)
       AND ${visibleThreadSql('$1', '$5')}
     ORDER BY created_at DESC, position DESC LIMIT $3 OFFSET $4`,
    [threadId, page.status, page.limit, page.offset, visible.metadata],
  );
  return rows;
}

/** Active runs by thread, for bulk cancels. */
export async function activeRuns(
  db: Db,
  statuses: readonly ('pending' | 'running')[],
  limit: number,
  visible: Visibility,
): Promise<Map<string, string[]>> {
  const { rows } = await db.query<{ thread_id: string; run_ids: string[] }>(
    `SELECT thread_id, array_agg(run_id) AS run_ids
     FROM (SELECT thread_id, run_id FROM runs
           WHERE status = ANY($1) AND ${visibleThreadSql('runs.thread_id', '$3')} LIMIT $2) r GROUP BY thread_id`,
    [statuses, limit, visible.metadata],
  );
  return new Map(rows.map((row) => [row.thread_id, row.run_ids]));
}

/** Pending and running runs of a thread. */
export async function activeRunsOf(db: Db, threadId: string): Promise<string[]> {
  const { rows } = await db.query<{ run_id: string }>(
    `SELECT run_id FROM runs WHERE thread_id = $1 AND status IN ('pending', 'running')`,
    [threadId],
  );
  return rows.map((row) => row.run_id);
}

/** How a run ended. JSON stays text: it only passes through. */
export interface Outcome {
  status: RunStatus;
  error: { error: string; message: string } | null;
  /** JSON text of what wait answers; null when the run has none and the thread no values. */
  output: string | null;
}

/** @returns undefined when the run is gone */
export async function readOutcome(db: Db, runId: string): Promise<Outcome | undefined> {
  const { rows } = await db.query<Outcome>({
    name: 'read-outcome',
    text: `SELECT r.status, r.error, coalesce(r.output, t."values")::text AS output
           FROM runs r JOIN threads t USING (thread_id) WHERE r.run_id = $1`,
    values: [runId],
  });
  return rows[0];
}

/** How the last of a thread's runs ended; null: it has had none. */
export interface LastRun {
  readonly status: RunStatus | null;
  readonly error: RunRow['error'];
}

/**
 * Removes a finished run with its checkpoints and events; its range of the log becomes void.
 * @returns the thread's last run now, when it was the one that is removed
 * @throws {RunNotFoundError}
 * @throws {ThreadBusyError} when it is pending or running: cancel it first
 */
export async function deleteRun(
  pool: Pool,
  threadId: string,
  runId: string,
  visible: Visibility,
): Promise<LastRun | undefined> {
  return transaction(pool, async (db) => {
    await db.query('SELECT 1 FROM threads WHERE thread_id = $1 FOR NO KEY UPDATE', [threadId]);
    const run = await readRun(db, threadId, runId, visible);
    if (!isTerminal(run.status)) throw new ThreadBusyError('Run is active');
    // A state update that has read what goes now is refused, as by a claim. A running run keeps its term.
    await db.query(
      `UPDATE threads SET term = term + 1 WHERE thread_id = $1
         AND ${runningOf('$1')} IS NULL`,
      [threadId],
    );
    const { rows } = await db.query<LastRun & { run_id: string }>(
      `SELECT run_id, status, error FROM runs WHERE thread_id = $1 AND started_at IS NOT NULL AND ended_at IS NOT NULL
       ORDER BY ended_at DESC, position DESC LIMIT 2`,
      [threadId],
    );
    const [last, before = { status: null, error: null }] = rows;
    await deleteRunCheckpoints(db, runId);
    await db.query('DELETE FROM runs WHERE run_id = $1', [runId]);
    const { first_seq: first, last_seq: end } = run;
    if (first !== null && end !== null && first <= end) {
      await db.query('DELETE FROM events WHERE thread_id = $1 AND seq BETWEEN $2 AND $3', [
        threadId,
        first,
        end,
      ]);
      await db.query(
        'INSERT INTO voids (thread_id, first_seq, last_seq) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
        [threadId, first, end],
      );
    }
    if (last?.run_id !== runId) return undefined;
    // What it asked is not asked any more. Whoever can ask the graph (run-remove.ts) knows whether the state before asks.
    await db.query(
      `UPDATE threads SET status_at_rest = $2, status = CASE active_runs WHEN 0 THEN $2 ELSE status END
       WHERE thread_id = $1`,
      [threadId, before.status === 'error' || before.status === 'timeout' ? 'error' : 'idle'],
    );
    return before;
  });
}
