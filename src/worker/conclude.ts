/**
 * What becomes of a run when its attempt is over: ended, taken back, or given to the next attempt. Tries until
 * Postgres takes it; under its term a late success does no harm.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { LogOwner } from '../events/backend.ts';
import { outcomeToTell } from '../events/redis-backend.ts';
import type { EndOutcome } from '../events/redis-backend.ts';
import type { LogWriter } from '../events/writer.ts';
import { isTransient } from '../postgres/pool.ts';
import type { Pool } from '../postgres/pool.ts';
import type { Claim } from '../runs/claim.ts';
import { finishRun, handOverRun, rollBackRun } from '../runs/finish.ts';
import type { Finished, RunEnding } from '../runs/finish.ts';
import { publishEnd } from '../runs/publish-end.ts';
import type { PublishEndDeps } from '../runs/publish-end.ts';
import type { CancelAction } from '../runs/run.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Tell } from '../telemetry/tell.ts';
import { endingOf, restOf } from './ending.ts';
import type { Outcome } from './outcome.ts';
import { errorOf, failed } from './outcome.ts';

/** The terminal transaction is tried again for this long; then the lease lapses and the next attempt ends the run. */
const FINISH_LIMIT_MS = 600_000;
const FINISH_RETRY_MS = { first: 50, max: 1_000 };

export interface ConcludeDeps extends PublishEndDeps {
  readonly pool: Pool;
  readonly metrics: Pick<Metrics, 'runsRunning' | 'stageSeconds'>;
  readonly tell: Tell;
}

/** The attempt that is over. */
export interface Attempt {
  readonly claim: Claim;
  readonly owner: LogOwner;
  readonly writer: LogWriter;
}

/** @param action `rollback` takes the run back, whatever the outcome */
export async function endRun(
  deps: ConcludeDeps,
  attempt: Attempt,
  outcome: Outcome,
  action: CancelAction = 'interrupt',
): Promise<void> {
  const { claim, owner, writer } = attempt;
  const { ending, unsent } = endingOf(claim, owner, writer, outcome);
  const persist = <T>(write: () => Promise<T>): Promise<T> => persisted(deps, claim.runId, write);
  let finished: Finished;
  try {
    finished =
      action === 'rollback'
        ? { outcome: 'rollback' }
        : await persist(() => finishRun(deps.pool, ending));
  } catch (error) {
    if (isTransient(error) || !hasCheckpoints(ending)) throw error;
    // Checkpoints that Postgres refuses fail the run, as they do before its end.
    await endRun(deps, attempt, failed(writer, errorOf(error)));
    return;
  }
  let status: string = outcome.status;
  if (finished.outcome === 'rollback') {
    status = 'deleted';
    finished = await persist(() => rollBackRun(deps.pool, ending));
  }
  if (finished.outcome !== 'ended') {
    deps.tell.runFenced(claim.runId);
    return;
  }
  deps.tell.runEnded(owner, status);
  const { threadId, runId, lastSeq, term } = ending;
  const end = { threadId, runId, status, lastSeq, term, outcome: toldOf(ending) };
  publishEnd(deps, owner, end, finished.next, unsent);
  if (ending.webhook !== null) deps.signals.publish('webhook', runId);
}

/** As readOutcome would find it; a thread whose values the run has left alone is looked at. */
const toldOf = ({ error, output, state }: RunEnding): EndOutcome | undefined =>
  output === null && state === null
    ? undefined
    : outcomeToTell({ error, output: output ?? state?.values ?? null });

const hasCheckpoints = ({ checkpoints }: RunEnding): boolean =>
  checkpoints !== undefined && checkpoints.checkpoints.length + checkpoints.writes.length > 0;

/** @param failures 1 after a transient failure, 0 at a shutdown */
export async function handOver(
  deps: ConcludeDeps,
  { claim, owner, writer }: Attempt,
  failures: 0 | 1,
): Promise<void> {
  const { threadId, runId, term } = owner;
  const { rest, lastSeq } = restOf(owner, writer);
  const next = await persisted(deps, claim.runId, () =>
    handOverRun(deps.pool, { threadId, runId, term, rest, lastSeq }, failures),
  );
  deps.signals.publish('log', threadId);
  deps.tell.runRequeued(failures === 0 ? 'shutdown' : 'transient', runId);
  if (next === undefined) return;
  deps.queue.wake([next]);
  // The queue's own notice may go to this process, which is about to stop: others look at once.
  deps.signals.publish('queue', '');
}

async function persisted<T>(
  deps: Pick<ConcludeDeps, 'onTrouble'>,
  runId: string,
  write: () => Promise<T>,
): Promise<T> {
  const until = Date.now() + FINISH_LIMIT_MS;
  for (let waitMs = FINISH_RETRY_MS.first; ; waitMs = Math.min(waitMs * 2, FINISH_RETRY_MS.max)) {
    try {
      return await write();
    } catch (error) {
      if (!isTransient(error) || Date.now() > until) throw error;
      deps.onTrouble(`end run ${runId}`, error);
      await delay(waitMs);
    }
  }
}
