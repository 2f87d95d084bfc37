/** Accepting and cancelling runs as the API does it: the transaction first, then the hints that speed things up. */
import type { Pool } from '../postgres/pool.ts';
import type { Visibility } from '../postgres/visibility.ts';
import type { Signals } from '../postgres/signals.ts';
import type { Scripts } from '../redis/scripts.ts';
import type { Keys } from '../redis/keys.ts';
import type { RunQueue } from '../queue/port.ts';
import { cancelRuns } from './cancel.ts';
import type { CancelHint, Cancelled } from './cancel.ts';
import { createRun } from './create.ts';
import type { CreatedRun, NewRun } from './create.ts';
import { nextRun } from './finish.ts';
import { DELETED } from '../events/ends.ts';
import type { CancelAction, RunRow } from './run.ts';

export interface SubmitDeps {
  readonly pool: Pool;
  readonly queue: RunQueue;
  readonly signals: Signals;
  readonly keys: Keys;
  /** undefined: no Redis is configured. */
  readonly scripts: Scripts | undefined;
  onTrouble(what: string, error: unknown): void;
}

/**
 * @throws {ThreadBusyError | ThreadNotFoundError}
 */
export async function submitRun(deps: SubmitDeps, newRun: NewRun): Promise<RunRow> {
  const created = await createRun(deps.pool, newRun);
  announceRun(deps, newRun, created);
  return created.run;
}

/** After the commit. */
export function announceRun(deps: SubmitDeps, newRun: NewRun, created: CreatedRun): void {
  hintCancel(deps, created.cancelled);
  // A run that waits for another is woken by that one's end.
  if (!created.waits)
    deps.queue.wake([
      { runId: created.run.run_id, attempt: 0, delayMs: newRun.afterSeconds * 1_000 },
    ]);
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
  hintCancel(deps, cancelled.asked);
  if (cancelled.ended.length > 0) {
    for (const { runId } of cancelled.ended)
      deps.signals.publish(
        'ended',
        JSON.stringify({
          threadId,
          runId,
          status: action === 'rollback' ? DELETED : 'interrupted',
          lastSeq: 0,
          term: 0,
        }),
      );
    const next = await nextRun(deps.pool, threadId);
    if (next !== undefined) deps.queue.wake([next]);
  }
  return cancelled;
}

/** Hints: the worker also sees the request with its next heartbeat. */
function hintCancel(deps: SubmitDeps, runs: readonly CancelHint[]): void {
  for (const { runId, threadId } of runs) {
    deps.signals.publish('control', runId);
    deps.scripts
      ?.run('log-cancel', [deps.keys.log(threadId).meta], [runId])
      .catch((error: unknown) => {
        deps.onTrouble('cancel hint', error);
      });
  }
}
