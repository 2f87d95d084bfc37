/** Accepting and cancelling runs as the API does it: the transaction first, then the hints that speed things up. */
import { transaction } from '../postgres/pool.ts';
import type { Db, Pool } from '../postgres/pool.ts';
import type { Visibility } from '../postgres/visibility.ts';
import { EVERYTHING } from '../postgres/visibility.ts';
import type { Signals } from '../postgres/signals.ts';
import type { Scripts } from '../redis/scripts.ts';
import type { Keys } from '../redis/keys.ts';
import type { RunQueue } from '../queue/port.ts';
import { cancelRuns } from './cancel.ts';
import type { CancelHint, Cancelled } from './cancel.ts';
import { createRun, createRunIn } from './create.ts';
import { limitOf } from './fairness.ts';
import { admit, admitHeld } from './ring.ts';
import type { FairnessRules } from './fairness.ts';
import type { CreatedRun, NewRun } from './create.ts';
import { nextRun } from './finish.ts';
import { DELETED } from '../events/ends.ts';
import type { CancelAction, RunRow } from './run.ts';

export interface SubmitDeps {
  readonly pool: Pool;
  readonly queue: RunQueue;
  readonly signals: Signals;
  readonly fairness: FairnessRules;
  readonly keys: Keys;
  /** Tells others of a cancel by the documented names; undefined: no Redis is configured. */
  readonly contract: { tell(runId: string, action: CancelAction): void } | undefined;
  /** undefined: no Redis is configured. */
  readonly scripts: Scripts | undefined;
  onTrouble(what: string, error: unknown): void;
}

/**
 * @throws {ThreadBusyError | ThreadNotFoundError}
 */
export async function submitRun(deps: SubmitDeps, newRun: NewRun): Promise<RunRow> {
  const created = await createRun(deps.pool, newRun, deps.fairness);
  announceRun(deps, newRun, created);
  return created.run;
}

/**
 * All of the runs or none.
 * @throws {ThreadBusyError | ThreadNotFoundError}
 */
export async function submitRuns(deps: SubmitDeps, newRuns: readonly NewRun[]): Promise<RunRow[]> {
  const [first] = newRuns;
  // A run alone needs no transaction, mostly.
  if (first !== undefined && newRuns.length === 1) return [await submitRun(deps, first)];
  const created = await transaction(deps.pool, (db) => createRunsIn(db, newRuns, deps.fairness));
  return announceRuns(deps, newRuns, created);
}

/** One after the other, inside the caller's transaction. */
export async function createRunsIn(
  db: Db,
  newRuns: readonly NewRun[],
  rules: FairnessRules,
): Promise<CreatedRun[]> {
  const created: CreatedRun[] = [];
  for (const newRun of newRuns) created.push(await createRunIn(db, newRun, rules));
  return created;
}

/** After the commit. @returns the runs, as they were made */
export function announceRuns(
  deps: SubmitDeps,
  newRuns: readonly NewRun[],
  created: readonly CreatedRun[],
): RunRow[] {
  return created.map((one, i) => {
    const newRun = newRuns[i];
    if (newRun !== undefined) announceRun(deps, newRun, one);
    return one.run;
  });
}

/** After the commit. */
export function announceRun(deps: SubmitDeps, newRun: NewRun, created: CreatedRun): void {
  const action = newRun.multitaskStrategy === 'rollback' ? 'rollback' : 'interrupt';
  hintCancel(deps, created.cancelled, action);
  tellEnded(deps, created.ended, action);
  // A run that waits for another is woken by that one's end, one whose key has a limit by its admission.
  if (created.heldKey !== undefined) void letIn(deps, created.heldKey);
  else if (!created.waits)
    deps.queue.wake([
      { runId: created.run.run_id, attempt: 0, delayMs: newRun.afterSeconds * 1_000 },
    ]);
}

/** Lets runs of a key into the ring and wakes workers for them. What fails is left to the sweeper. */
export async function letIn(
  deps: Pick<SubmitDeps, 'pool' | 'queue' | 'fairness' | 'onTrouble'>,
  key: string,
): Promise<void> {
  try {
    const admitted = await (limitOf(deps.fairness, key) === undefined
      ? admit(deps.pool, [key])
      : admitHeld(deps.pool, deps.fairness, key));
    deps.queue.wake(admitted.map((run) => ({ ...run, delayMs: 0 })));
  } catch (error) {
    deps.onTrouble('let runs into the ring', error);
  }
}

/**
 * @returns undefined when the thread has none of the runs, or the caller may not see it
 */
export async function cancel(
  deps: SubmitDeps,
  threadId: string,
  runIds: readonly string[],
  action: CancelAction,
  visible: Visibility,
): Promise<Cancelled | undefined> {
  const cancelled = await cancelRuns(deps.pool, threadId, runIds, action, visible);
  if (cancelled === undefined) return undefined;
  hintCancel(deps, cancelled.asked, action);
  tellEnded(deps, cancelled.ended, action);
  if (cancelled.ended.length > 0) {
    const next = await nextRun(deps.pool, threadId);
    if (next !== undefined) deps.queue.wake([next]);
  }
  return cancelled;
}

/** For requests from outside the API. @returns false when there is no such run, or it was cancelled already */
export async function cancelById(
  deps: SubmitDeps,
  runId: string,
  action: CancelAction,
): Promise<boolean> {
  const { rows } = await deps.pool.query<{ thread_id: string }>({
    name: 'thread-of-active-run',
    text: `SELECT thread_id FROM runs WHERE run_id = $1 AND status IN ('pending', 'running') AND cancel_requested_at IS NULL`,
    values: [runId],
  });
  const threadId = rows[0]?.thread_id;
  return (
    threadId !== undefined &&
    (await cancel(deps, threadId, [runId], action, EVERYTHING)) !== undefined
  );
}

/** Runs that ended without a worker: nobody else tells of them. */
function tellEnded(deps: SubmitDeps, runs: readonly CancelHint[], action: CancelAction): void {
  const status = action === 'rollback' ? DELETED : 'interrupted';
  for (const { runId, threadId } of runs)
    deps.signals.publish('ended', JSON.stringify({ threadId, runId, status, lastSeq: 0, term: 0 }));
}

/** Hints: the worker also sees the request with its next heartbeat. */
function hintCancel(deps: SubmitDeps, runs: readonly CancelHint[], action: CancelAction): void {
  for (const { runId, threadId } of runs) {
    deps.signals.publish('control', runId);
    deps.contract?.tell(runId, action);
    deps.scripts
      ?.run('log-cancel', [deps.keys.log(threadId).meta], [runId])
      .catch((error: unknown) => {
        deps.onTrouble('cancel hint', error);
      });
  }
}
