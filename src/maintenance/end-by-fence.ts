/**
 * Ends a cancelled run whose worker does not react: takes the run over, which fences the worker, and
 * writes the end in its place.
 */
import { rootLifecycle } from '../protocol/lifecycle.ts';
import { takeOverRun } from '../runs/claim.ts';
import { openTerm } from '../runs/term.ts';
import { endInPlace } from './end-in-place.ts';
import type { EndInPlaceDeps } from './end-in-place.ts';

/** @param term what the worker that does not react was claimed with */
export async function endByFence(
  deps: EndInPlaceDeps,
  run: { runId: string; term: number },
): Promise<void> {
  const claim = await takeOverRun(deps.pool, deps.claimer, run.runId, run.term);
  if (claim === undefined) return;
  const owner = await openTerm(deps, claim);
  if (owner === undefined) return;
  const outcome = { status: 'interrupted', error: null, threadStatus: 'idle' } as const;
  if (await endInPlace(deps, claim, owner, outcome, rootLifecycle(claim, 'interrupted')))
    deps.tell.runFenced(run.runId);
}
