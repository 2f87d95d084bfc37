/**
 * A worker takes a run: raises the thread's term (the fence), takes the lease, and gets all it needs to
 * execute. One statement. When the thread's last term ended properly, the same statement records the
 * new term's start; otherwise the log must be reopened first (events/reopen → startTerm).
 *
 * Locks go thread → run, as everywhere, so that claims, ends and cancels cannot deadlock.
 */
import { sqlState } from '../postgres/pool.ts';
import type { Db } from '../postgres/pool.ts';
import { encodeRows, storeRowsSql } from '../events/archive.ts';
import type { ArchiveRow } from '../events/archive.ts';
import { RING_LOW } from './fairness.ts';
import { firstOutside, IN_RING, ringCount } from './ring.ts';
import { DUE, PENDING, threadsTurn } from '../postgres/active-runs.ts';
import { FAILURES_MAX } from './lease.ts';
import type { CancelAction, RunKwargs, RunUser } from './run.ts';

export interface Claim {
  readonly runId: string;
  readonly threadId: string;
  readonly assistantId: string;
  readonly graphId: string | null;
  readonly kwargs: RunKwargs;
  readonly metadata: Record<string, unknown>;
  readonly user: RunUser | null;
  readonly term: number;
  /** 1 for the first claim. */
  readonly attempt: number;
  /** Attempts lost or failed so far. */
  readonly failures: number;
  /** Set: end the run at once, it was cancelled between two attempts or must be fenced. */
  readonly cancelAction: CancelAction | null;
  /** First seq of this term; null: not known yet, the log must be reopened. */
  readonly start: number | null;
  readonly runFirst: number | null;
  /** For the reopen: the newest term with a start, and what Postgres has. */
  readonly logTerm: number;
  readonly archivedSeq: number;
  readonly fairKey: string;
  /** Its key has few runs left in the ring and others outside: ring.ts, admit. */
  readonly refill: boolean;
  /** Others waited in the ring when this one was taken. */
  readonly more: boolean;
  /** The thread was made for this run alone and has no checkpoint. */
  readonly freshThread: boolean;
  /** Seconds since the run's time had come; of the first attempt that is what it waited for a worker. */
  readonly dueSeconds: number;
}

export interface Claimer {
  readonly workerId: string;
  readonly leaseMs: number;
}

interface ClaimRow {
  run_id: string;
  thread_id: string;
  assistant_id: string;
  graph_id: string | null;
  kwargs: RunKwargs;
  metadata: Record<string, unknown>;
  auth: RunUser | null;
  term: number;
  attempt: number;
  failures: number;
  cancel_action: CancelAction | null;
  first_seq: number | null;
  log_clean: boolean;
  log_term: number;
  archived_seq: number;
  fair_key: string;
  refill: boolean;
  more: boolean;
  fresh: boolean;
  due_seconds: number;
}

/**
 * `$1` is the worker, `$2` the lease in ms, `$4` whether a run on its last chance may be taken. A pending run is
 * taken in the order of its thread.
 */
const eligible = (and = 'true'): string =>
  threadsTurn(`${DUE('r')} AND ($4 OR r.failures <> ${FAILURES_MAX - 1}) AND ${and}`);
const ELIGIBLE = eligible();

/** Not one that must wait for its key's limit. */
const ADMITTED = '(r.ring_at IS NOT NULL OR NOT r.held)';

// started_at: now() is older than the statement's snapshot, so a run could seem to begin before the end of the one before it.
const claimSql = (candidate: string, still: string, wait: '' | 'SKIP LOCKED'): string => `
  WITH candidate AS MATERIALIZED (${candidate}),
  thread AS MATERIALIZED (
    SELECT t.thread_id, t.term + 1 AS term, t.log_clean, t.log_term, t.archived_seq, t.hidden AND t.term = 0
      AND NOT EXISTS (SELECT 1 FROM checkpoints k WHERE k.thread_id = t.thread_id) AS fresh
    FROM threads t JOIN candidate USING (thread_id) FOR NO KEY UPDATE OF t ${wait}
  ), taken AS MATERIALIZED (
    SELECT r.run_id FROM candidate JOIN thread USING (thread_id) JOIN runs r USING (run_id)
    WHERE ${still} FOR UPDATE OF r SKIP LOCKED
  ), claimed AS (
    UPDATE runs r SET status = 'running', attempt = r.attempt + 1, term = thread.term, worker_id = $1,
      lease_expires_at = now() + $2 * interval '1 ms', started_at = coalesce(r.started_at, clock_timestamp()),
      first_seq = CASE WHEN thread.log_clean THEN coalesce(r.first_seq, thread.archived_seq + 1) ELSE r.first_seq END,
      ring_at = coalesce(r.ring_at, now()), updated_at = now()
    FROM taken, thread WHERE r.run_id = taken.run_id
    RETURNING r.*
  ), fenced AS (
    UPDATE threads t SET term = thread.term, log_clean = false,
      log_term = CASE WHEN thread.log_clean THEN thread.term ELSE t.log_term END
    FROM thread, claimed WHERE t.thread_id = thread.thread_id
  ), started AS (
    INSERT INTO terms (thread_id, term, start_seq, run_id, attempt)
    SELECT c.thread_id, c.term, thread.archived_seq + 1, c.run_id, c.attempt
    FROM claimed c, thread WHERE thread.log_clean
  )
  SELECT c.run_id, c.thread_id, c.assistant_id, a.graph_id, c.kwargs, c.metadata, c.auth, c.term, c.attempt,
    c.failures, c.cancel_action, c.first_seq, extract(epoch FROM now() - c.eligible_at)::float8 AS due_seconds,
    thread.log_clean, thread.log_term, thread.archived_seq, thread.fresh, c.fair_key,
    ${ringCount('c.fair_key', RING_LOW)} < ${RING_LOW}
      AND ${firstOutside('c.fair_key')} IS NOT NULL AS refill,
    (SELECT o.run_id FROM runs o WHERE ${IN_RING('o')} AND o.run_id <> c.run_id ORDER BY o.ring_at, o.position LIMIT 1) IS NOT NULL AS more
  FROM claimed c JOIN thread USING (thread_id) LEFT JOIN assistants a ON a.assistant_id = c.assistant_id`;

const CLAIM_ONE = claimSql(
  `SELECT r.run_id, r.thread_id FROM runs r WHERE r.run_id = $3 AND ${PENDING('r')} AND ${ELIGIBLE} AND ${ADMITTED}`,
  PENDING('r'),
  '',
);

// Both rows are locked here: one whose run was claimed since the snapshot is passed over, and the next one taken.
const claimFirst = (condition: string, order: string): string =>
  claimSql(
    `SELECT r.run_id, r.thread_id FROM runs r JOIN threads t USING (thread_id)
   WHERE ${condition} AND ${ELIGIBLE}
   ORDER BY ${order}, r.position LIMIT 1 FOR NO KEY UPDATE OF t, r SKIP LOCKED`,
    PENDING('r'),
    'SKIP LOCKED',
  );

const WAITS_LONG = `r.eligible_at <= now() - $3 * interval '1 ms'`;
// The first, not the one that waits too long: who has waited less may have the higher priority.
const CLAIM_NEXT = claimFirst(
  `${IN_RING('r')} AND ($3 = 0 OR (SELECT r.run_id FROM runs r WHERE ${IN_RING('r')} AND ${eligible(WAITS_LONG)}
     ORDER BY r.ring_at, r.position LIMIT 1) IS NOT NULL)`,
  'r.ring_at',
);
// In the order of another index (runs_pending), whose condition this is.
const CLAIM_OUTSIDE = claimFirst(
  `r.status = 'pending' AND r.ring_at IS NULL AND NOT r.held AND ${WAITS_LONG}`,
  'r.eligible_at',
);

// Takes a begun run over to end it: its worker does not react to a cancel, or it has none and gets none.
const TO_BE_ENDED = `r.term = $4 AND (r.status = 'running' OR r.status = 'pending' AND r.cancel_action IS NOT NULL)`;
const TAKE_OVER = claimSql(
  `SELECT r.run_id, r.thread_id FROM runs r WHERE r.run_id = $3 AND ${TO_BE_ENDED}`,
  TO_BE_ENDED,
  '',
);

/** Whether losing or failing the run once more would end it as error. */
export const isLastChance = ({ failures }: Pick<Claim, 'failures'>): boolean =>
  failures === FAILURES_MAX - 1;

/**
 * @param lastChances false: not a run on its last chance
 * @returns undefined when the run is not there to take: not its turn, taken, ended
 */
export async function claimRun(
  db: Db,
  claimer: Claimer,
  runId: string,
  lastChances = true,
): Promise<Claim | undefined> {
  const { workerId, leaseMs } = claimer;
  return claim(db, 'claim-run', CLAIM_ONE, [workerId, leaseMs, runId, lastChances]);
}

/**
 * Takes the first run of the ring, if any there waits for at least `ageMs`.
 * @param lastChances false: not a run on its last chance
 * @returns undefined when there is none
 */
export async function claimNextRun(
  db: Db,
  claimer: Claimer,
  ageMs: number,
  lastChances = true,
): Promise<Claim | undefined> {
  const { workerId, leaseMs } = claimer;
  return claim(db, 'claim-next-run', CLAIM_NEXT, [workerId, leaseMs, ageMs, lastChances]);
}

/**
 * The oldest run outside the ring: one whose admission was lost or is late. Looks at more rows than claimNextRun.
 * @param lastChances false: not a run on its last chance
 */
export async function claimOutside(
  db: Db,
  claimer: Claimer,
  ageMs: number,
  lastChances = true,
): Promise<Claim | undefined> {
  const { workerId, leaseMs } = claimer;
  return claim(db, 'claim-outside', CLAIM_OUTSIDE, [workerId, leaseMs, ageMs, lastChances]);
}

/** Fences the worker that holds or held `runId` with `term`, to end the run in its place. */
export async function takeOverRun(
  db: Db,
  claimer: Claimer,
  runId: string,
  term: number,
): Promise<Claim | undefined> {
  return claim(db, 'take-over-run', TAKE_OVER, [claimer.workerId, claimer.leaseMs, runId, term]);
}

async function claim(
  db: Db,
  name: string,
  text: string,
  values: unknown[],
): Promise<Claim | undefined> {
  try {
    const { rows } = await db.query<ClaimRow>({ name, text, values });
    const row = rows[0];
    return row && fromRow(row);
  } catch (error) {
    // Another run of the thread became running since the statement's snapshot: not our turn.
    if (sqlState(error) === '23505') return undefined;
    throw error;
  }
}

function fromRow(row: ClaimRow): Claim {
  return {
    runId: row.run_id,
    threadId: row.thread_id,
    assistantId: row.assistant_id,
    graphId: row.graph_id,
    kwargs: row.kwargs,
    metadata: row.metadata,
    user: row.auth,
    term: row.term,
    attempt: row.attempt,
    failures: row.failures,
    cancelAction: row.cancel_action,
    start: row.log_clean ? row.archived_seq + 1 : null,
    runFirst: row.first_seq,
    logTerm: row.log_term,
    archivedSeq: row.archived_seq,
    fairKey: row.fair_key,
    refill: row.refill,
    more: row.more,
    freshThread: row.fresh,
    dueSeconds: row.due_seconds,
  };
}

const START_TERM = `WITH ${storeRowsSql(
  '$1',
  'SELECT thread_id, log_term, archived_seq FROM threads WHERE thread_id = $2 AND term = $3 FOR NO KEY UPDATE',
)}, place AS MATERIALIZED (
    SELECT h.thread_id, greatest(h.archived_seq, (SELECT max(seq) FROM dense)) + 1 AS start FROM head h
  ), thread AS (
    UPDATE threads t SET archived_seq = place.start - 1, log_term = $3, log_clean = false
    FROM place WHERE t.thread_id = place.thread_id
  ), started AS (
    INSERT INTO terms (thread_id, term, start_seq, run_id, attempt)
    SELECT thread_id, $3, start, $4, $5 FROM place ON CONFLICT DO NOTHING
  ), run AS (
    UPDATE runs SET first_seq = coalesce(first_seq, place.start) FROM place WHERE run_id = $4
    RETURNING first_seq, place.start
  )
  SELECT start, first_seq FROM run`;

/**
 * Second half of the claim of a log that was not ended properly: archives the valid tail that Redis
 * still had and records the term's start above it.
 * @returns undefined when a newer term owns the thread
 */
export async function startTerm(
  db: Db,
  run: Pick<Claim, 'threadId' | 'runId' | 'term' | 'attempt'>,
  tail: readonly ArchiveRow[],
): Promise<{ start: number; runFirst: number } | undefined> {
  const { rows } = await db.query<{ start: number; first_seq: number }>({
    name: 'start-term',
    text: START_TERM,
    values: [encodeRows(tail), run.threadId, run.term, run.runId, run.attempt],
  });
  const row = rows[0];
  return row && { start: row.start, runFirst: row.first_seq };
}
