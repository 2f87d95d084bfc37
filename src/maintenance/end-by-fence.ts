/**
 * Ends a cancelled run whose worker does not react: takes the run over, which fences the worker, and
 * writes the end in its place. Dying in between is harmless: the taken lease lapses like any other.
 */
import type { Pool } from '../postgres/pool.ts';
import { takeOverRun } from '../runs/claim.ts';
import type { Claimer } from '../runs/claim.ts';
import { rootLifecycle } from '../protocol/lifecycle.ts';
import { finishRun, rollBackRun, webhookOf } from '../runs/finish.ts';
import type { RunEnding } from '../runs/finish.ts';
import { publishEnd } from '../runs/publish-end.ts';
import type { PublishEndDeps } from '../runs/publish-end.ts';
import { openTerm } from '../runs/term.ts';
import type { Tell } from '../telemetry/tell.ts';
import { DELETED } from '../events/ends.ts';

export interface EndByFenceDeps extends PublishEndDeps {
  readonly pool: Pool;
  readonly tell: Tell;
  readonly claimer: Claimer;
}

/** @param term what the worker that does not react was claimed with */
export async function endByFence(
  deps: EndByFenceDeps,
  run: { runId: string; term: number },
): Promise<void> {
  const claim = await takeOverRun(deps.pool, deps.claimer, run.runId, run.term);
  if (claim === undefined) return;
  const owner = await openTerm(deps, claim);
  if (owner === undefined) return;
  const terminal = rootLifecycle(claim, 'interrupted');
  const ending: RunEnding = {
    threadId: owner.threadId,
    runId: owner.runId,
    term: owner.term,
    status: 'interrupted',
    error: null,
    output: null,
    state: null,
    threadStatus: 'idle',
    rest: terminal.map((event, i) => ({
      threadId: owner.threadId,
      seq: owner.start + i,
      term: owner.term,
      ...event,
    })),
    lastSeq: owner.start + terminal.length - 1,
    webhook: webhookOf(claim.kwargs),
  };
  let status: string = ending.status;
  let finished = await finishRun(deps.pool, ending);
  if (finished.outcome === 'rollback') {
    status = DELETED;
    finished = await rollBackRun(deps.pool, ending);
  }
  if (finished.outcome !== 'ended') return;
  deps.tell.runFenced(run.runId);
  deps.tell.runEnded(ending, status);
  const { threadId, runId, lastSeq, term } = ending;
  publishEnd(deps, owner, { threadId, runId, status, lastSeq, term }, finished.next, {
    first: owner.start,
    events: terminal,
  });
}
