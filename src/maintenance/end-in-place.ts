/**
 * The end of a run that no graph has brought about, written by whoever has taken the run: only the events that say so.
 * Dying in between is harmless: the taken lease lapses like any other.
 */
import type { LogOwner } from '../events/backend.ts';
import { DELETED } from '../events/ends.ts';
import type { LogEvent } from '../events/event.ts';
import type { Pool } from '../postgres/pool.ts';
import type { Claim, Claimer } from '../runs/claim.ts';
import { finishRun, rollBackRun, webhookOf } from '../runs/finish.ts';
import type { RunEnding } from '../runs/finish.ts';
import { publishEnd } from '../runs/publish-end.ts';
import type { PublishEndDeps } from '../runs/publish-end.ts';
import type { Tell } from '../telemetry/tell.ts';

export interface EndInPlaceDeps extends PublishEndDeps {
  readonly pool: Pool;
  readonly tell: Tell;
  readonly claimer: Claimer;
}

/** @returns false: a newer term owns the thread */
export async function endInPlace(
  deps: EndInPlaceDeps,
  claim: Claim,
  owner: LogOwner,
  outcome: Pick<RunEnding, 'status' | 'error' | 'threadStatus'>,
  events: LogEvent[],
): Promise<boolean> {
  const { threadId, runId, term, start } = owner;
  const lastSeq = start + events.length - 1;
  const ending: RunEnding = {
    ...outcome,
    threadId,
    runId,
    term,
    output: null,
    state: null,
    rest: events.map((event, i) => ({ threadId, seq: start + i, term, ...event })),
    lastSeq,
    webhook: webhookOf(claim.kwargs),
  };
  let status: string = outcome.status;
  let finished = await finishRun(deps.pool, ending);
  if (finished.outcome === 'rollback') {
    status = DELETED;
    finished = await rollBackRun(deps.pool, ending);
  }
  if (finished.outcome !== 'ended') return false;
  deps.tell.runEnded(ending, status);
  publishEnd(deps, owner, { threadId, runId, status, lastSeq, term }, finished.next, {
    first: start,
    events,
  });
  return true;
}
