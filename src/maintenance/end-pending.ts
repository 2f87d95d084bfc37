/**
 * The documented pending timeout, off unless asked for: a run that no worker has taken for so long ends as error,
 * so that its caller is told. Counts from when it could have begun: waiting for the thread's other runs, or for its
 * key's limit, is no lack of workers.
 */
import { claimRun } from '../runs/claim.ts';
import { threadsTurn } from '../postgres/active-runs.ts';
import { openTerm } from '../runs/term.ts';
import { rootLifecycle } from '../protocol/lifecycle.ts';
import { endInPlace } from './end-in-place.ts';
import type { EndInPlaceDeps } from './end-in-place.ts';

/** Runs that one sweep ends. */
const ENDED_MAX = 50;

export async function endPending(deps: EndInPlaceDeps, timeoutMs: number): Promise<number> {
  const { rows } = await deps.pool.query<{ run_id: string }>({
    name: 'pending-too-long',
    text: `SELECT r.run_id FROM runs r
           WHERE r.status = 'pending' AND (r.ring_at IS NOT NULL OR NOT r.held) AND r.eligible_at < now() - $1 * interval '1 ms'
             AND coalesce(r.ring_at + (r.eligible_at - r.due), r.eligible_at) < now() - $1 * interval '1 ms' AND ${threadsTurn()}
           ORDER BY r.eligible_at LIMIT ${ENDED_MAX}`,
    values: [timeoutMs],
  });
  for (const { run_id: runId } of rows) await end(deps, runId, timeoutMs);
  return rows.length;
}

async function end(deps: EndInPlaceDeps, runId: string, timeoutMs: number): Promise<void> {
  const claim = await claimRun(deps.pool, deps.claimer, runId);
  // A worker was faster.
  if (claim === undefined) return;
  const owner = await openTerm(deps, claim);
  if (owner === undefined) return;
  const error = {
    error: 'PendingTimeoutError',
    message: `no worker took the run for ${timeoutMs / 1_000} s (PENDING_TIMEOUT_SECS)`,
  };
  const events = [
    { type: 'error', data: JSON.stringify(error) },
    ...rootLifecycle(claim, 'failed', error.message),
  ];
  await endInPlace(deps, claim, owner, { status: 'error', error, threadStatus: 'error' }, events);
}
