/**
 * When two traces count as the same. Differences that are intended, with the reason:
 *
 * 1. Failures. A failed actor cancels its siblings (issue 4); LangGraph aborts them too, but keeps
 *    half the writes of one that it caught between its update and its edges, and then loses the
 *    edge. So a graph with failures is compared with the same graph without: failed attempts must
 *    leave no trace in the steps.
 * 2. A run takes at most `recursionLimit` steps; LangGraph takes one more before it gives up.
 * 3. LangGraph's stream loses its last events when the run throws, and its getState throws for a
 *    thread that stopped at updates it cannot merge. So after an error of the runtime the error
 *    and the states that both have shown are compared.
 * 4. A task that was answered and asks again is missing from `next` in LangGraph, and one that was
 *    answered and is done still shows its interrupt. So `next` is not compared while an interrupt
 *    is open, and open interrupts are those that the run has just shown.
 * 5. Tasks of one step end in another order (LangGraph starts Sends first): updates of one run and
 *    interrupts of one step are compared as sets. The order of merging is the same and compared.
 * 6. A node woken by a join and by an edge at once runs once and closes the join. LangGraph leaves
 *    the join open: after a resume the node runs again. Such graphs are not generated.
 * 7. A task that was answered and wrote nothing is done; LangGraph runs it again. Not generated.
 */
import { isDeepStrictEqual } from 'node:util';
import type { RunTrace, Trace } from './random-graph.ts';

/** @returns undefined when they agree, else what differs */
export function difference(theirs: Trace, ours: Trace): string | undefined {
  const error = theirs.runs.at(-1)?.error;
  if (error === 'GraphRecursionError' || error === 'InvalidUpdateError') {
    const [a, b] = [valuesOf(theirs), valuesOf(ours)];
    const shown = Math.min(a.length, b.length);
    const own = ours.runs.at(-1)?.error;
    // The one step more may end in updates that cannot be merged.
    const stepMore = own === 'GraphRecursionError' && error === 'InvalidUpdateError';
    return (
      (stepMore ? undefined : differs('error', error, own)) ??
      differs('values', a.slice(0, shown), b.slice(0, shown))
    );
  }
  return differs('runs', theirs.runs, ours.runs) ?? historyDifference(theirs, ours);
}

/** The steps alone: for graphs that failed on the way. */
export function historyDifference(theirs: Trace, ours: Trace): string | undefined {
  return (
    differs('final state', theirs.runs.at(-1)?.state, ours.runs.at(-1)?.state) ??
    differs('history', theirs.history, ours.history)
  );
}

const valuesOf = (trace: Trace): unknown[] =>
  trace.runs
    .flatMap((run: RunTrace) => run.values)
    .filter((value) => !(typeof value === 'object' && value !== null && '__interrupt__' in value));

function differs(what: string, theirs: unknown, ours: unknown): string | undefined {
  const [a, b] = [plain(theirs), plain(ours)];
  if (isDeepStrictEqual(a, b)) return undefined;
  return `${what}\n  LangGraph ${JSON.stringify(a)}\n  ours      ${JSON.stringify(b)}`;
}

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null)) as unknown;
