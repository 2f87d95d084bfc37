/**
 * Accepts a run: its row, and the decision what happens to the runs that the thread already has, in one
 * transaction. What follows (a queue job, a cancel message) are hints that the sweeper repeats when lost.
 *
 * The thread's row is locked first and `active_runs` of the locked row decides: a look at the runs
 * table in the same statement would see the snapshot from before the lock. Only whether the run may begin at once
 * although others wait (their time has not come) is such a look: wrong, it costs a wake-up that finds nothing or is late.
 */
import { transaction } from '../postgres/pool.ts';
import type { Db, Pool } from '../postgres/pool.ts';
import { EVERYTHING, visibleSql } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';
import { FIRST_TERM } from './first-term.ts';
import { firstPendingOf, runningOf } from '../postgres/active-runs.ts';
import { cancelActiveRuns } from './cancel.ts';
import type { CancelHint } from './cancel.ts';
import { fairKeyOf, limitOf, NO_FAIRNESS, RING_WINDOW } from './fairness.ts';
import type { FairnessRules } from './fairness.ts';
import { ringCount, ringPlace } from './ring.ts';
import { RUN_COLUMNS, ThreadBusyError, ThreadMovedOnError, ThreadNotFoundError } from './run.ts';
import type { MultitaskStrategy, RunKwargs, RunRow, RunUser } from './run.ts';

export interface NewRun {
  readonly runId: string;
  readonly threadId: string;
  readonly assistantId: string;
  readonly kwargs: RunKwargs;
  readonly metadata: Record<string, unknown>;
  readonly multitaskStrategy: MultitaskStrategy;
  /** The run becomes eligible this much later; the thread is busy meanwhile. */
  readonly afterSeconds: number;
  /** Higher goes first; 0 when absent. */
  readonly priority?: number;
  /** Make the thread: for a stateless run (hidden), or because the client asked for it. */
  readonly createThread: 'no' | 'visible' | 'hidden';
  /** Merged into the thread's row: `config` replaces, `metadata` is merged. */
  readonly threadConfig: unknown;
  readonly threadMetadata: Record<string, unknown>;
  /** Of a thread that is made for the run, besides `threadMetadata`: whose it is, for example. */
  readonly newThreadMetadata: Record<string, unknown>;
  /** Which threads the run may be on. */
  readonly visible: Visibility;
  /** null: no auth is configured. */
  readonly user: RunUser | null;
  /**
   * The term of the thread at which it must be at rest for the run to be made: the run answers what was asked then. Not of
   * a run on a hidden thread. Absent: whatever the thread does.
   */
  readonly restingAt?: number;
  /**
   * What the assistant's row must be for the run to be made, and the run when it is not; the ids stay the same. Only of a
   * run on a hidden thread. Absent: it was read for this run.
   */
  readonly ofVersion?: { readonly version: string; otherwise(db: Db): Promise<NewRun> };
}

export interface CreatedRun {
  run: RunRow;
  /** Another run of the thread goes first: its end wakes this one. */
  waits: boolean;
  /** Its key has a limit: it begins when it has entered the ring (ring.ts). */
  heldKey: string | undefined;
  /** Runs that must be told to stop, for CancelHints. */
  cancelled: CancelHint[];
  /** Runs that have ended for this one, before they had begun: whoever waits for them must be told. */
  ended: CancelHint[];
}

/**
 * @throws {ThreadBusyError} strategy reject, and the thread has an active run
 * @throws {ThreadMovedOnError} `restingAt` is not so
 * @throws {ThreadNotFoundError} also when the caller may not see it
 */
export async function createRun(
  pool: Pool,
  newRun: NewRun,
  rules: FairnessRules = NO_FAIRNESS,
): Promise<CreatedRun> {
  const { multitaskStrategy: strategy, createThread } = newRun;
  // One statement, or two of which the first alone does no harm: these need no transaction.
  if (createThread === 'hidden' || strategy === 'reject' || strategy === 'enqueue')
    return createRunIn(pool, newRun, rules);
  return transaction(pool, (db) => createRunIn(db, newRun, rules));
}

/** The same inside the caller's transaction. */
export async function createRunIn(
  db: Db,
  newRun: NewRun,
  rules: FairnessRules = NO_FAIRNESS,
): Promise<CreatedRun> {
  const { multitaskStrategy: strategy, threadId } = newRun;
  if (newRun.createThread === 'hidden')
    return insertRun(
      db,
      newRun,
      rules,
      newRun.ofVersion === undefined ? HIDDEN : HIDDEN_OF_VERSION,
    );
  const made = newRun.createThread === 'visible' && (await createThreadRow(db, newRun));
  const on = made ? { ...newRun, visible: EVERYTHING } : newRun;
  if (strategy === 'reject' || strategy === 'enqueue') return insertRun(db, on, rules, ON_THREAD);
  await db.query('SELECT 1 FROM threads WHERE thread_id = $1 FOR NO KEY UPDATE', [threadId]);
  // On a thread that the caller may not see this is taken back: the insert finds no thread.
  const { asked: cancelled, ended } = await cancelActiveRuns(db, threadId, strategy);
  return { ...(await insertRun(db, on, rules, ON_THREAD)), cancelled, ended };
}

/** @returns false when it was there */
async function createThreadRow(db: Db, { threadId, newThreadMetadata }: NewRun): Promise<boolean> {
  const { rowCount } = await db.query({
    name: 'create-thread-if-absent',
    text: `INSERT INTO threads (thread_id, metadata, term, log_term) SELECT $1, $2, first.term, first.term
           FROM (SELECT ${FIRST_TERM} AS term) AS first ON CONFLICT DO NOTHING`,
    values: [threadId, newThreadMetadata],
  });
  return rowCount === 1;
}

/** `$10` is the user, `$13` what the run's priority is worth in seconds, `$14` whether its key has a limit. */
const values = (threadIsFree: string): string => `$2, $1, $3, 'pending', $4, $5, $6,
  clock_timestamp() + $7 * interval '1 second', clock_timestamp(), clock_timestamp() + $7 * interval '1 second', $10,
  $11::smallint, $12::text, clock_timestamp() + ($7 - $13::float8) * interval '1 second', $14::boolean,
  CASE WHEN ${threadIsFree} AND $7 = 0 AND NOT $14::boolean AND ${ringCount('$12::text', RING_WINDOW)} < ${RING_WINDOW}
    THEN ${ringPlace(`(clock_timestamp() - $13::float8 * interval '1 second')`, '$12::text', '$11::smallint')} END`;
const COLUMNS = `run_id, thread_id, assistant_id, status, metadata, kwargs, multitask_strategy,
  created_at, updated_at, eligible_at, auth, priority, fair_key, due, held, ring_at`;

/** `$15` is which threads the caller may see, `$16` the term that the thread must rest at. */
const ON_THREAD = {
  name: 'create-run',
  text: `
  WITH thread AS MATERIALIZED (
    SELECT thread_id, term, active_runs, active_runs = 0 OR ${runningOf('$1')} IS NULL
        AND coalesce(${firstPendingOf('$1', 'eligible_at')} > clock_timestamp() + $7 * interval '1 second', true) AS free
    FROM threads WHERE thread_id = $1 AND ${visibleSql('metadata', '$15')} FOR NO KEY UPDATE
  ), run AS (
    INSERT INTO runs (${COLUMNS})
    SELECT ${values('free')} FROM thread WHERE (active_runs = 0 OR $6 <> 'reject')
      AND ($16::bigint IS NULL OR (active_runs = 0 AND thread.term = $16))
    RETURNING ${RUN_COLUMNS}
  ), busy AS (
    UPDATE threads t SET status = 'busy',
      status_at_rest = CASE t.active_runs WHEN 0 THEN t.status ELSE t.status_at_rest END, active_runs = t.active_runs + 1, config = $8,
      metadata = t.metadata || $9, updated_at = now()
    FROM run WHERE t.thread_id = run.thread_id
  )
  SELECT thread.free, run.* FROM thread LEFT JOIN run ON true`,
  own: ({ visible, restingAt }: NewRun): unknown[] => [visible.metadata, restingAt],
};

const hiddenSql = (before: string, from: string): string => `
  WITH ${before}thread AS (
    INSERT INTO threads (thread_id, hidden, status, active_runs, config, metadata)
    SELECT $1, true, 'busy', 1, $8, $9 ${from}
  )
  INSERT INTO runs (${COLUMNS}) SELECT ${values('true')} ${from} RETURNING true AS free, ${RUN_COLUMNS}`;

// The hidden thread of a stateless run and its run are one statement: the foreign key is checked at its end.
const HIDDEN = {
  name: 'create-run-hidden',
  text: hiddenSql('', ''),
  own: (): unknown[] => [],
};
/** `$15` is the version of the assistant. */
const HIDDEN_OF_VERSION = {
  name: 'create-run-hidden-of-version',
  text: hiddenSql(
    'same AS MATERIALIZED (SELECT 1 FROM assistants WHERE assistant_id = $3 AND xmin::text = $15), ',
    'FROM same',
  ),
  own: ({ ofVersion }: NewRun): unknown[] => [ofVersion?.version],
};

async function insertRun(
  db: Db,
  newRun: NewRun,
  rules: FairnessRules,
  statement: typeof ON_THREAD,
): Promise<CreatedRun> {
  const priority = newRun.priority ?? 0;
  const key = fairKeyOf(rules, newRun);
  const held = limitOf(rules, key) !== undefined;
  const { rows } = await db.query<
    Omit<RunRow, 'run_id'> & { free: boolean; run_id: string | null }
  >({
    name: statement.name,
    text: statement.text,
    values: [
      newRun.threadId,
      newRun.runId,
      newRun.assistantId,
      newRun.metadata,
      JSON.stringify(newRun.kwargs),
      newRun.multitaskStrategy,
      newRun.afterSeconds,
      JSON.stringify(newRun.threadConfig),
      newRun.createThread === 'hidden'
        ? { ...newRun.newThreadMetadata, ...newRun.threadMetadata }
        : newRun.threadMetadata,
      newRun.user === null ? null : JSON.stringify(newRun.user),
      priority,
      key,
      priority * rules.stepSecs,
      held,
      ...statement.own(newRun),
    ],
  });
  const row = rows[0];
  if (row === undefined && newRun.ofVersion !== undefined)
    return createRunIn(db, await newRun.ofVersion.otherwise(db), rules);
  if (row === undefined)
    throw new ThreadNotFoundError(`Thread with ID ${newRun.threadId} not found`);
  const { free, run_id: runId, ...run } = row;
  if (runId === null && newRun.restingAt !== undefined)
    throw new ThreadMovedOnError(`Thread ${newRun.threadId} has gone on meanwhile`);
  if (runId === null)
    throw new ThreadBusyError(
      'Thread is already running a task. Wait for it to finish or choose a different multitask strategy.',
    );
  return {
    run: { run_id: runId, ...run },
    waits: !free,
    heldKey: held ? key : undefined,
    cancelled: [],
    ended: [],
  };
}
