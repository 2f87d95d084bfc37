/**
 * Cancelling: first written to Postgres, so that it cannot be lost. A pending run ends here and now. A running
 * one is asked to: its worker sees the request at its next append or heartbeat, sooner by a hint; one that
 * does not react is fenced by the sweeper.
 */
import { transaction } from '../postgres/pool.ts';
import type { Db, Pool } from '../postgres/pool.ts';
import { visibleThreadSql } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';
import { isTerminal } from './run.ts';
import type { CancelAction, RunRow } from './run.ts';

/** A running run that was asked to stop: tell its worker. */
export interface CancelHint {
  readonly runId: string;
  readonly threadId: string;
}

export interface Cancelled {
  /** Asked to stop; they end a little later. */
  readonly asked: CancelHint[];
  /** Ended by this call, before they had begun. */
  readonly ended: CancelHint[];
}

/** Ends pending runs of a thread, oldest to newest; under the thread's lock. */
async function endPending(
  db: Db,
  threadId: string,
  runIds: readonly string[],
  action: CancelAction,
): Promise<void> {
  if (runIds.length === 0) return;
  if (action === 'rollback')
    await db.query('DELETE FROM runs WHERE run_id = ANY($1) AND status = $2', [runIds, 'pending']);
  else
    await db.query(
      `UPDATE runs SET status = 'interrupted', cancel_action = 'interrupt', cancel_requested_at = now(),
         ended_at = now(), updated_at = now(), last_seq = coalesce(last_seq, 0)
       WHERE run_id = ANY($1) AND status = 'pending'`,
      [runIds],
    );
  await db.query(
    `UPDATE threads SET active_runs = active_runs - $2,
       status = CASE WHEN active_runs > $2 THEN 'busy' ELSE status_at_rest END, updated_at = now()
     WHERE thread_id = $1`,
    [threadId, runIds.length],
  );
}

/** Running, or waiting for the next attempt: what it has written must be ended by who holds the thread. */
async function ask(db: Db, runIds: readonly string[], action: CancelAction): Promise<void> {
  if (runIds.length === 0) return;
  // A rollback is the stronger request and is not taken back by an interrupt.
  await db.query(
    `UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, now()),
       cancel_action = CASE WHEN cancel_action = 'rollback' THEN 'rollback' ELSE $2 END
     WHERE run_id = ANY($1) AND status IN ('pending', 'running')`,
    [runIds, action],
  );
}

/**
 * For a new run that takes the thread over: every active run of the thread, inside the creating
 * transaction, which holds the thread's lock.
 * @returns what is to be told after the commit
 */
export async function cancelActiveRuns(
  db: Db,
  threadId: string,
  action: CancelAction,
): Promise<Cancelled> {
  const { rows } = await db.query<Pick<RunRow, 'run_id' | 'status' | 'attempt'>>(
    `SELECT run_id, status, attempt FROM runs
     WHERE thread_id = $1 AND status IN ('pending', 'running') FOR UPDATE`,
    [threadId],
  );
  return cancelRows(db, threadId, rows, action);
}

/**
 * Cancels runs of one thread. Finished ones are left as they are.
 * @returns undefined when none of `runIds` belongs to the thread, or the caller may not see it
 */
export async function cancelRuns(
  pool: Pool,
  threadId: string,
  runIds: readonly string[],
  action: CancelAction,
  visible: Visibility,
): Promise<Cancelled | undefined> {
  return transaction(pool, async (db) => {
    await db.query('SELECT 1 FROM threads WHERE thread_id = $1 FOR NO KEY UPDATE', [threadId]);
    const { rows } = await db.query<Pick<RunRow, 'run_id' | 'status' | 'attempt'>>(
      `SELECT run_id, status, attempt FROM runs
       WHERE thread_id = $1 AND run_id = ANY($2) AND ${visibleThreadSql('$1', '$3')} FOR UPDATE`,
      [threadId, runIds, visible.metadata],
    );
    if (rows.length === 0) return undefined;
    return cancelRows(db, threadId, rows, action);
  });
}

async function cancelRows(
  db: Db,
  threadId: string,
  rows: readonly Pick<RunRow, 'run_id' | 'status' | 'attempt'>[],
  action: CancelAction,
): Promise<Cancelled> {
  const fresh = rows.filter((run) => run.status === 'pending' && run.attempt === 0);
  const begun = rows.filter((run) => !isTerminal(run.status) && !fresh.includes(run));
  const ids = (runs: typeof rows): string[] => runs.map((run) => run.run_id);
  await endPending(db, threadId, ids(fresh), action);
  await ask(db, ids(begun), action);
  const hints = (runs: typeof rows): CancelHint[] =>
    ids(runs).map((runId) => ({ runId, threadId }));
  return { asked: hints(begun), ended: hints(fresh) };
}
