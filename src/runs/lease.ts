/** Leases, on Postgres' clock: renewing them, giving them back, and taking them from the dead. */
import type { Db } from '../postgres/pool.ts';
import { threadsTurn } from '../postgres/active-runs.ts';
import type { CancelAction } from './run.ts';

/** Attempts that may be lost or fail before the run ends as error. */
export const FAILURES_MAX = 3;
/** Rows that one sweep changes at most. */
export const SWEEP_ROWS_MAX = 200;

export interface LeasedRun {
  readonly runId: string;
  readonly term: number;
}

export interface RenewedRun {
  readonly runId: string;
  readonly cancelAction: CancelAction | null;
}

/**
 * Renews all leases of a process in one statement.
 * @returns the runs that are still its own, with cancel requests; what is missing is lost
 */
export async function renewLeases(
  db: Db,
  runs: readonly LeasedRun[],
  leaseMs: number,
): Promise<RenewedRun[]> {
  const { rows } = await db.query<{ run_id: string; cancel_action: CancelAction | null }>({
    name: 'renew-leases',
    text: `UPDATE runs r SET lease_expires_at = now() + $3 * interval '1 ms'
           FROM unnest($1::uuid[], $2::bigint[]) AS l(run_id, term)
           WHERE r.run_id = l.run_id AND r.term = l.term AND r.status = 'running'
           RETURNING r.run_id, r.cancel_action`,
    values: [runs.map((run) => run.runId), runs.map((run) => run.term), leaseMs],
  });
  return rows.map((row) => ({ runId: row.run_id, cancelAction: row.cancel_action }));
}

export interface Requeued {
  readonly runId: string;
  readonly attempt: number;
}

const REQUEUE_EXPIRED = `
  WITH lost AS MATERIALIZED (
    SELECT run_id, thread_id, term FROM runs
    WHERE status = 'running' AND lease_expires_at < now() ORDER BY lease_expires_at LIMIT ${SWEEP_ROWS_MAX}
  ), thread AS MATERIALIZED (
    -- One that is locked is the next sweep's: whoever holds it may have vanished, and must not hold up the others.
    SELECT t.thread_id FROM threads t JOIN lost USING (thread_id) ORDER BY t.thread_id FOR NO KEY UPDATE SKIP LOCKED
  ), requeued AS (
    UPDATE runs r SET status = 'pending', worker_id = NULL, lease_expires_at = NULL,
      failures = r.failures + 1, updated_at = now()
    FROM lost JOIN thread USING (thread_id)
    WHERE r.run_id = lost.run_id AND r.term = lost.term AND r.status = 'running' AND r.lease_expires_at < now()
    RETURNING r.run_id, r.thread_id, r.attempt
  ), fenced AS (
    UPDATE threads t SET term = t.term + 1 FROM requeued WHERE t.thread_id = requeued.thread_id
  )
  SELECT run_id, attempt FROM requeued`;

/**
 * Takes the runs of dead workers: each waits for its next attempt, and whoever held it is fenced in
 * Postgres at once. A run without attempts left is ended by who claims it next.
 */
export async function requeueExpired(db: Db): Promise<Requeued[]> {
  const { rows } = await db.query<{ run_id: string; attempt: number }>({
    name: 'requeue-expired',
    text: REQUEUE_EXPIRED,
  });
  return rows.map((row) => ({ runId: row.run_id, attempt: row.attempt }));
}

/** Pending runs whose turn it is but whose wake-up may be lost: eligible for longer than `ageMs`. */
export async function overdueRuns(db: Db, ageMs: number): Promise<Requeued[]> {
  const { rows } = await db.query<{ run_id: string; attempt: number }>({
    name: 'overdue-runs',
    text: `SELECT r.run_id, r.attempt FROM runs r
           WHERE r.status = 'pending' AND r.eligible_at < now() - $1 * interval '1 ms'
             AND (r.ring_at IS NOT NULL OR NOT r.held)
             AND ${threadsTurn()}
           ORDER BY r.eligible_at, r.position LIMIT $2`,
    values: [ageMs, OVERDUE_ROWS_MAX],
  });
  return rows.map((row) => ({ runId: row.run_id, attempt: row.attempt }));
}

/** Jobs that one sweep adds again at most: a backlog that Redis forgot is rebuilt in a few sweeps. */
const OVERDUE_ROWS_MAX = 2_000;

/** Begun runs of which no worker has reacted to a cancel request for `deadlineMs`; those between two attempts may have none. */
export async function unheededCancels(
  db: Db,
  deadlineMs: number,
): Promise<{ runId: string; term: number }[]> {
  const { rows } = await db.query<{ run_id: string; term: number }>({
    name: 'unheeded-cancels',
    // Two parts, because each has a partial index.
    text: `SELECT run_id, term FROM runs
           WHERE status = 'running' AND cancel_requested_at < now() - $1 * interval '1 ms'
           UNION ALL
           SELECT run_id, term FROM runs
           WHERE status = 'pending' AND attempt > 0 AND cancel_requested_at < now() - $1 * interval '1 ms'
           LIMIT ${SWEEP_ROWS_MAX}`,
    values: [deadlineMs],
  });
  return rows.map((row) => ({ runId: row.run_id, term: row.term }));
}
