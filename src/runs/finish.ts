/**
 * The end of a run: the rest of its events and checkpoints, its status and the thread's state in one
 * transaction, guarded by the term. Only after it are readers told. Raising both terms once more means that nothing of the
 * ended run, no late checkpoint and no row of an archiver, is accepted any more.
 */
import { encodeRows, storeRowsSql } from '../events/archive.ts';
import type { ArchiveRow } from '../events/archive.ts';
import { deleteRunCheckpoints } from '../checkpoints/lifecycle.ts';
import { checkpointCtes } from '../checkpoints/write-statement.ts';
import type { CheckpointBatch } from '../checkpoints/unflushed.ts';
import { transaction } from '../postgres/pool.ts';
import type { Db, Pool } from '../postgres/pool.ts';
import { PENDING, runningOf, THREADS_ORDER } from '../postgres/active-runs.ts';
import { OUTSIDE, OWN_PLACE, ringPlace } from './ring.ts';
import type { CancelAction, RunKwargs, TerminalStatus } from './run.ts';

export interface RunEnding {
  readonly threadId: string;
  readonly runId: string;
  readonly term: number;
  readonly status: TerminalStatus;
  readonly error: { error: string; message: string } | null;
  /** What wait answers, as JSON text, when it is not the thread's values; null otherwise. */
  readonly output: string | null;
  /** The thread's new state, as JSON texts; null leaves it as it was. */
  readonly state: { readonly values: string; readonly interrupts: string } | null;
  /** The thread's status when no other run waits. */
  readonly threadStatus: 'idle' | 'interrupted' | 'error';
  /** Events that Postgres may not have yet, in order, up to `lastSeq`. */
  readonly rest: readonly ArchiveRow[];
  readonly lastSeq: number;
  /** Whom to tell of the end: webhookOf(kwargs). */
  readonly webhook: Webhook | null;
  /** The run's last checkpoints, when they are not in Postgres yet. */
  readonly checkpoints?: CheckpointBatch;
}

export interface Webhook {
  readonly url: string;
  /** Whether it is told the thread's values: not those of a thread that goes with its run. */
  readonly values: boolean;
}

export const webhookOf = ({ webhook, temporary }: RunKwargs): Webhook | null =>
  webhook ? { url: webhook, values: !temporary } : null;

export type Finished =
  | { outcome: 'ended'; next: NextRun | undefined }
  /** Somebody asked for a rollback before the end: call rollBackRun. */
  | { outcome: 'rollback' }
  /** A newer term owns the thread, or the run has ended. */
  | { outcome: 'fenced' };

/** The run of the thread that may begin now. */
export interface NextRun {
  readonly runId: string;
  readonly attempt: number;
  readonly delayMs: number;
}

const finishSql = (returning: string, since: string, more: string): string => `WITH ${storeRowsSql(
  '$1',
  `SELECT t.thread_id, t.log_term, t.archived_seq, t.active_runs, r.cancel_action
   FROM threads t JOIN runs r ON r.run_id = $4 AND r.thread_id = t.thread_id
   WHERE t.thread_id = $2 AND t.term = $3 AND r.term = $3 AND r.status = 'running'
   FOR NO KEY UPDATE OF t, r`,
)}, place AS MATERIALIZED (
    SELECT thread_id, active_runs FROM head
    WHERE cancel_action IS DISTINCT FROM 'rollback'
      AND greatest(archived_seq, (SELECT max(seq) FROM dense)) = $5${since}
  ), run AS (
    UPDATE runs SET status = $6, error = $7, output = $8, last_seq = $5, first_seq = coalesce(first_seq, $5 + 1),
      ended_at = now(), updated_at = now(), lease_expires_at = NULL
    FROM place WHERE run_id = $4
    RETURNING ${returning}
  ), thread AS (
    UPDATE threads t SET archived_seq = $5, term = $3 + 1, log_term = $3 + 1, log_clean = true,
      active_runs = t.active_runs - 1,
      status = CASE WHEN t.active_runs > 1 THEN 'busy' ELSE $9 END, status_at_rest = $9,
      "values" = CASE WHEN $10 THEN $11::json ELSE t."values" END,
      interrupts = CASE WHEN $10 THEN $12::json ELSE t.interrupts END,
      error = $7, updated_at = now()
    FROM place WHERE t.thread_id = place.thread_id
    RETURNING t.active_runs
  )${more}
  SELECT h.cancel_action, thread.active_runs FROM head h LEFT JOIN thread ON true`;

const isoDate = (column: string): string =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** Not in every statement, so that runs without a webhook pay nothing for it. */
const WEBHOOK = `, webhook AS (
    INSERT INTO webhook_deliveries (delivery_id, run_id, thread_id, url, run, "values", error)
    SELECT gen_random_uuid(), run_id, thread_id, $13, json_build_object(
        'run_id', run_id, 'thread_id', thread_id, 'assistant_id', assistant_id,
        'created_at', ${isoDate('created_at')}, 'updated_at', ${isoDate('updated_at')},
        'status', status, 'metadata', metadata, 'kwargs', kwargs, 'multitask_strategy', multitask_strategy,
        'run_started_at', ${isoDate('started_at')}, 'run_ended_at', ${isoDate('ended_at')}),
      CASE WHEN $14 THEN $11::json END, error
    FROM run
  )`;

/** One text per combination of what a run may end with. */
const texts = new Map<string, string>();

function finishStatement(ending: RunEnding): { name: string; text: string; values: unknown[] } {
  const { webhook } = ending;
  const values = [
    encodeRows(ending.rest),
    ending.threadId,
    ending.term,
    ending.runId,
    ending.lastSeq,
    ending.status,
    ending.error === null ? null : JSON.stringify(ending.error),
    ending.output,
    ending.threadStatus,
    ending.state !== null,
    ending.state?.values ?? null,
    ending.state?.interrupts ?? null,
    ...(webhook === null ? [] : [webhook.url, webhook.values]),
  ];
  const checkpoints = checkpointCtes(ending.checkpoints ?? NO_CHECKPOINTS, {
    thread: '$2',
    run: '$4',
    first: values.length + 1,
  });
  const name = `finish-run${webhook === null ? '' : '-with-webhook'}${checkpoints.name}`;
  let text = texts.get(name);
  if (text === undefined) {
    const fence =
      checkpoints.sql === ''
        ? ''
        : ', fence AS MATERIALIZED (SELECT thread_id, $4::uuid AS run_id FROM place)';
    text = finishSql(
      webhook === null ? 'run_id' : 'runs.*',
      checkpoints.since,
      `${webhook === null ? '' : WEBHOOK}${fence}${checkpoints.sql}`,
    );
    texts.set(name, text);
  }
  return { name, text, values: [...values, ...checkpoints.values] };
}

const NO_CHECKPOINTS: CheckpointBatch = { checkpoints: [], writes: [] };

/** Idempotent: a second call with the same term answers `fenced` once the first was committed. */
export async function finishRun(pool: Pool, ending: RunEnding): Promise<Finished> {
  const { rows } = await pool.query<{
    cancel_action: CancelAction | null;
    active_runs: number | null;
  }>(finishStatement(ending));
  const row = rows[0];
  if (row === undefined) return { outcome: 'fenced' };
  if (row.active_runs !== null) {
    const next = row.active_runs > 0 ? await nextRun(pool, ending.threadId) : undefined;
    return { outcome: 'ended', next };
  }
  if (row.cancel_action === 'rollback') return { outcome: 'rollback' };
  // Postgres has crashed, and the run must not end without the checkpoints that it had taken.
  const since = ending.checkpoints?.since;
  if (since !== undefined) return finishRun(pool, { ...ending, checkpoints: since.all() });
  throw new Error(`run ${ending.runId}: its events do not reach seq ${ending.lastSeq} in Postgres`);
}

const HAND_OVER = `WITH ${storeRowsSql(
  '$1',
  `SELECT t.thread_id, t.log_term, t.archived_seq
   FROM threads t JOIN runs r ON r.run_id = $4 AND r.thread_id = t.thread_id
   WHERE t.thread_id = $2 AND t.term = $3 AND r.term = $3 AND r.status = 'running'
   FOR NO KEY UPDATE OF t, r`,
)}, place AS MATERIALIZED (
    SELECT thread_id, greatest(archived_seq, (SELECT max(seq) FROM dense)) AS archived_seq FROM head
  ), run AS (
    UPDATE runs r SET status = 'pending', worker_id = NULL, lease_expires_at = NULL,
      failures = r.failures + $6, updated_at = now()
    FROM place WHERE r.run_id = $4 RETURNING r.attempt
  ), thread AS (
    UPDATE threads t SET archived_seq = place.archived_seq, term = $3 + 1,
      log_term = CASE WHEN place.archived_seq = $5 THEN $3 + 1 ELSE t.log_term END,
      log_clean = place.archived_seq = $5
    FROM place WHERE t.thread_id = place.thread_id
  )
  SELECT attempt FROM run`;

/**
 * A worker gives its run back, with all its events, for the next attempt: at shutdown (no failure
 * counted) or after a transient failure (one).
 * @returns undefined when the run is no longer its own
 */
export async function handOverRun(
  db: Db,
  run: Pick<RunEnding, 'threadId' | 'runId' | 'term' | 'rest' | 'lastSeq'>,
  failures: 0 | 1,
): Promise<NextRun | undefined> {
  const { rows } = await db.query<{ attempt: number }>({
    name: 'hand-over-run',
    text: HAND_OVER,
    values: [encodeRows(run.rest), run.threadId, run.term, run.runId, run.lastSeq, failures],
  });
  const row = rows[0];
  return row && { runId: run.runId, attempt: row.attempt, delayMs: 0 };
}

/**
 * The oldest pending run of a thread that no run has: in the ring, unless its key has a limit. Behind a running one it
 * would only take a place there; that one's end lets it in.
 */
export async function nextRun(db: Db, threadId: string): Promise<NextRun | undefined> {
  const { rows } = await db.query<{ run_id: string; attempt: number; delay_ms: number }>({
    name: 'next-run',
    text: `WITH next AS MATERIALIZED (
             SELECT run_id, attempt, CASE WHEN attempt > 0 THEN 0 ELSE greatest(0, extract(epoch FROM eligible_at - now()) * 1000) END::float8 AS delay_ms
             FROM runs r WHERE thread_id = $1 AND ${PENDING('r')} AND ${runningOf('$1')} IS NULL
             ORDER BY ${THREADS_ORDER('r')} LIMIT 1
           ), entered AS (
             UPDATE runs r SET ring_at = ${ringPlace(OWN_PLACE, 'r.fair_key', 'r.priority')}
             FROM next WHERE r.run_id = next.run_id AND next.delay_ms = 0 AND NOT r.held AND ${OUTSIDE('r')}
           )
           SELECT run_id, attempt, delay_ms FROM next`,
    values: [threadId],
  });
  const row = rows[0];
  return row && { runId: row.run_id, attempt: row.attempt, delayMs: row.delay_ms };
}

/**
 * Removes a run as if it had not been: its row, its checkpoints, its events. Its range of the log becomes
 * void, so that readers of the thread pass over it.
 */
export async function rollBackRun(
  pool: Pool,
  run: Pick<RunEnding, 'threadId' | 'runId' | 'term' | 'lastSeq'>,
): Promise<Finished> {
  const { threadId, runId, term, lastSeq } = run;
  const done = await transaction(pool, async (db) => {
    const thread = await db.query<{ archived_seq: number }>(
      'SELECT archived_seq FROM threads WHERE thread_id = $1 AND term = $2 FOR NO KEY UPDATE',
      [threadId, term],
    );
    const archived = thread.rows[0]?.archived_seq;
    if (archived === undefined) return false;
    const { rows } = await db.query<{ first_seq: number | null }>(
      `SELECT first_seq FROM runs WHERE run_id = $1 AND term = $2 AND status = 'running' FOR UPDATE`,
      [runId, term],
    );
    const row = rows[0];
    if (row === undefined) return false;
    await deleteRunCheckpoints(db, runId);
    await db.query('DELETE FROM runs WHERE run_id = $1', [runId]);
    const last = Math.max(archived, lastSeq);
    const first = row.first_seq ?? last + 1;
    if (first <= last) {
      await db.query('DELETE FROM events WHERE thread_id = $1 AND seq >= $2', [threadId, first]);
      await db.query('INSERT INTO voids (thread_id, first_seq, last_seq) VALUES ($1, $2, $3)', [
        threadId,
        first,
        last,
      ]);
    }
    await db.query(
      `UPDATE threads SET archived_seq = $2, term = term + 1, log_term = term + 1, log_clean = true, active_runs = active_runs - 1,
         status = CASE WHEN active_runs > 1 THEN 'busy' ELSE status_at_rest END, updated_at = now()
       WHERE thread_id = $1`,
      [threadId, last],
    );
    return true;
  });
  return done ? { outcome: 'ended', next: await nextRun(pool, threadId) } : { outcome: 'fenced' };
}
