/**
 * Second half of a claim: the right to write to the thread's log. Nothing to do when the last term ended
 * properly; otherwise the log is reopened, and what Redis still has of it goes to Postgres first.
 */
import type { Db } from '../postgres/pool.ts';
import type { LogOwner } from '../events/backend.ts';
import { reopenLog } from '../events/redis-backend.ts';
import type { Keys } from '../redis/keys.ts';
import type { Scripts } from '../redis/scripts.ts';
import { startTerm } from './claim.ts';
import type { Claim } from './claim.ts';

export interface TermDeps {
  readonly pool: Db;
  readonly keys: Keys;
  /** undefined: no Redis is configured. */
  readonly scripts: Scripts | undefined;
  onTrouble(what: string, error: unknown): void;
}

/** @returns undefined when a newer term owns the thread already */
export async function openTerm(deps: TermDeps, claim: Claim): Promise<LogOwner | undefined> {
  const { threadId, runId, term, attempt } = claim;
  if (claim.start !== null)
    return {
      threadId,
      runId,
      term,
      attempt,
      start: claim.start,
      runFirst: claim.runFirst ?? claim.start,
    };
  let tail: Awaited<ReturnType<typeof reopenLog>>['tail'] = [];
  if (deps.scripts !== undefined) {
    try {
      const log = await reopenLog({ keys: deps.keys, scripts: deps.scripts }, threadId, {
        term,
        tailTerm: claim.logTerm,
        archived: claim.archivedSeq,
        start: undefined,
      });
      if (log.last === undefined) return undefined;
      tail = log.tail;
    } catch (error) {
      // Without Redis the term begins after what Postgres has; who saw more is told by a rewind.
      deps.onTrouble('reopen log', error);
    }
  }
  const place = await startTerm(deps.pool, claim, tail);
  return place && { threadId, runId, term, attempt, ...place };
}
