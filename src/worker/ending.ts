/** The terminal statement's data, from the outcome of the graph and what the log's writer still has. */
import type { LogOwner } from '../events/backend.ts';
import type { LogEvent } from '../events/event.ts';
import type { LogWriter } from '../events/writer.ts';
import { encodeData } from '../graphs/serialise.ts';
import { rootLifecycle } from '../protocol/lifecycle.ts';
import type { RootStatus } from '../protocol/lifecycle.ts';
import type { Claim } from '../runs/claim.ts';
import { webhookOf } from '../runs/finish.ts';
import type { RunEnding } from '../runs/finish.ts';
import type { TerminalStatus } from '../runs/run.ts';
import type { Outcome } from './outcome.ts';

export interface Rest extends Pick<RunEnding, 'rest' | 'lastSeq'> {
  /** Events that never were in Redis. */
  readonly unsent: { readonly first: number; readonly events: readonly LogEvent[] };
}

export function endingOf(
  claim: Claim,
  owner: LogOwner,
  writer: LogWriter,
  { status, error, result }: Outcome,
): { ending: RunEnding; unsent: Rest['unsent'] } {
  const state = result?.state;
  const threadStatus =
    status === 'error' || status === 'timeout'
      ? 'error'
      : (state?.next.length ?? 0) > 0
        ? 'interrupted'
        : 'idle';
  const { rest, lastSeq, unsent } = restOf(
    owner,
    writer,
    rootLifecycle(claim, rootStatus(status, threadStatus), error?.message),
  );
  const values = state === undefined ? null : encodeData(state.values);
  const output =
    result === null ? null : result.output === state?.values ? values : encodeData(result.output);
  const ending: RunEnding = {
    threadId: owner.threadId,
    runId: owner.runId,
    term: owner.term,
    status,
    error,
    output: output === values ? null : output,
    state:
      state === undefined || values === null
        ? null
        : { values, interrupts: encodeData(state.interrupts) },
    threadStatus,
    rest,
    lastSeq,
    webhook: webhookOf(claim.kwargs),
    ...(result?.checkpoints === undefined ? {} : { checkpoints: result.checkpoints }),
  };
  return { ending, unsent };
}

/** @param terminal written with the end itself: whoever reads it finds the end in Postgres */
export function restOf(
  owner: LogOwner,
  writer: LogWriter,
  terminal: readonly LogEvent[] = [],
): Rest {
  const finished = writer.finish();
  const { first, unsentFirst } = finished;
  const events = [...finished.events, ...terminal];
  return {
    rest: events.map((event, i) => ({
      threadId: owner.threadId,
      seq: first + i,
      term: owner.term,
      ...event,
    })),
    lastSeq: finished.last + terminal.length,
    unsent: { first: unsentFirst, events: events.slice(unsentFirst - first) },
  };
}

function rootStatus(status: TerminalStatus, threadStatus: RunEnding['threadStatus']): RootStatus {
  if (threadStatus === 'error') return 'failed';
  return status === 'interrupted' || threadStatus === 'interrupted' ? 'interrupted' : 'completed';
}
