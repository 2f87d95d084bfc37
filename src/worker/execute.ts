/**
 * One attempt at one run, from the claim to the terminal transaction. Whatever stops it early is a stop
 * reason; what the run becomes follows from the reason:
 *
 *   cancel ──▶ interrupted, or removed (rollback)     timeout ──▶ timeout
 *   shutdown ──▶ handed over, no failure counted      lost, fenced ──▶ nothing, somebody else owns it
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../errors.ts';
import type { LogBackend, LogOwner } from '../events/backend.ts';
import type { LogEvent } from '../events/event.ts';
import { createLogWriter, LogFencedError } from '../events/writer.ts';
import type { LogWriter } from '../events/writer.ts';
import type { ExecutionResult, GraphRegistry, StreamMode } from '../graphs/port.ts';
import { encodeData } from '../graphs/serialise.ts';
import { createDeferred } from '../lib/deferred.ts';
import type { Pool } from '../postgres/pool.ts';
import { isTransient } from '../postgres/pool.ts';
import type { Signals } from '../postgres/signals.ts';
import { rootLifecycle } from '../protocol/lifecycle.ts';
import type { RootStatus } from '../protocol/lifecycle.ts';
import type { RunQueue } from '../queue/port.ts';
import type { Keys } from '../redis/keys.ts';
import type { Scripts } from '../redis/scripts.ts';
import type { Claim } from '../runs/claim.ts';
import { finishRun, handOverRun, rollBackRun, webhookOf } from '../runs/finish.ts';
import type { Finished, RunEnding } from '../runs/finish.ts';
import { FAILURES_MAX } from '../runs/lease.ts';
import { userConfigurable } from '../runs/run.ts';
import type { CancelAction, TerminalStatus } from '../runs/run.ts';
import { publishEnd } from '../runs/publish-end.ts';
import { openTerm } from '../runs/term.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { feedbackUrls } from './feedback.ts';
import type { LangSmith } from './feedback.ts';
import type { LeaseKeeper } from './lease-keeper.ts';

/** How long a graph may take to stop after its signal was aborted, before it is left behind. */
const ABORT_GRACE_MS = 500;
/** The terminal transaction is tried again for this long; then the lease lapses and the next attempt ends the run. */
const FINISH_LIMIT_MS = 600_000;
const FINISH_RETRY_MS = { first: 50, max: 1_000 };

export interface ExecuteDeps {
  readonly pool: Pool;
  readonly keys: Keys;
  /** undefined: no Redis is configured. */
  readonly scripts: Scripts | undefined;
  readonly redisLog: LogBackend | undefined;
  readonly directLog: LogBackend;
  readonly queue: RunQueue;
  readonly signals: Signals;
  readonly graphs: GraphRegistry;
  readonly leases: LeaseKeeper;
  readonly metrics: Metrics;
  readonly langSmith: LangSmith | undefined;
  readonly timeoutMs: number;
  onTrouble(what: string, error: unknown): void;
}

/** Why an execution must end before the graph does. */
export type Stop =
  | { kind: 'cancel'; action: CancelAction }
  | { kind: 'timeout' }
  | { kind: 'shutdown' }
  | { kind: 'lost' };

/** What the aborted signal's reason is, and what a sink throws to a graph that writes on after it. */
class RunStoppedError extends AppError {
  readonly code = 'run_cancelled';
}

interface Outcome {
  status: TerminalStatus;
  error: { error: string; message: string } | null;
  result: ExecutionResult | null;
}

export interface ActiveRun {
  readonly runId: string;
  /** Asks the run to stop; the first reason counts. */
  stop(reason: Stop): void;
  /** Settles when this process has nothing more to do with the run. Never rejects. */
  readonly done: Promise<void>;
}

export function execute(deps: ExecuteDeps, claim: Claim): ActiveRun {
  const abort = new AbortController();
  const stopped = createDeferred<Stop>();
  let reason: Stop | undefined;
  function stop(why: Stop): void {
    if (reason !== undefined) return;
    reason = why;
    stopped.resolve(why);
    abort.abort(new RunStoppedError(`run ${claim.runId} was stopped: ${why.kind}`));
  }

  async function run(): Promise<void> {
    deps.leases.hold(claim.runId, claim.term, {
      onLost: () => {
        stop({ kind: 'lost' });
      },
      onCancel: (action) => {
        stop({ kind: 'cancel', action });
      },
    });
    deps.metrics.runsRunning.inc();
    const timer = setTimeout(() => {
      stop({ kind: 'timeout' });
    }, deps.timeoutMs);
    try {
      await attempt();
    } catch (error) {
      // The lease lapses and the next attempt goes on from the last checkpoint.
      deps.onTrouble(`execute run ${claim.runId}`, error);
    } finally {
      clearTimeout(timer);
      deps.leases.drop(claim.runId);
      deps.metrics.runsRunning.dec();
    }
  }

  async function attempt(): Promise<void> {
    const owner = await openTerm(deps, claim);
    if (owner === undefined) {
      deps.metrics.fenced.inc();
      return;
    }
    const writer = createLogWriter(
      {
        db: deps.pool,
        redis: deps.redisLog,
        direct: deps.directLog,
        onFenced: () => {
          stop({ kind: 'lost' });
        },
        onCancelled: () => {
          deps.leases.ask(claim.runId);
        },
        onTrouble: deps.onTrouble,
      },
      owner,
    );
    if (claim.cancelAction !== null) stop({ kind: 'cancel', action: claim.cancelAction });
    const outcome =
      claim.failures >= FAILURES_MAX && reason === undefined
        ? deadLetter(writer, claim.failures)
        : await Promise.race([outcomeOf(executeGraph(owner, writer)), leftBehind()]);
    await conclude(owner, writer, outcome);
  }

  /** After a stop the graph gets a moment to end by itself. */
  async function leftBehind(): Promise<undefined> {
    await stopped.promise;
    await delay(ABORT_GRACE_MS, undefined, { ref: false });
    return undefined;
  }

  async function executeGraph(owner: LogOwner, writer: LogWriter): Promise<ExecutionResult> {
    // Stopped before it began: that is no success.
    abort.signal.throwIfAborted();
    writer.emit('metadata', JSON.stringify({ run_id: claim.runId, attempt: claim.attempt }));
    for (const { type, data } of rootLifecycle(claim, 'running')) writer.emit(type, data);
    const graph = await deps.graphs.get(claim.graphId ?? '');
    const { kwargs } = claim;
    const result = await graph.execute({
      runId: claim.runId,
      threadId: claim.threadId,
      attempt: claim.attempt,
      input: kwargs.input,
      command: kwargs.command,
      config: {
        ...kwargs.config,
        configurable: { ...kwargs.config.configurable, ...userConfigurable(claim.user) },
      },
      context: kwargs.context,
      streamModes: kwargs.stream_mode as StreamMode[],
      streamSubgraphs: kwargs.subgraphs,
      protocol: kwargs.protocol,
      interruptBefore: kwargs.interrupt_before,
      interruptAfter: kwargs.interrupt_after,
      durability: kwargs.durability,
      signal: abort.signal,
      writer: { threadId: claim.threadId, runId: claim.runId, term: owner.term },
      sink: {
        emit(type, data) {
          // A graph that ignores its signal must not fill the memory.
          abort.signal.throwIfAborted();
          writer.emit(type, encodeData(data));
        },
        drained: () => writer.drained(),
      },
    });
    await askForFeedback(writer);
    return result;
  }

  async function askForFeedback(writer: LogWriter): Promise<void> {
    const { feedback_keys: keys } = claim.kwargs;
    if (keys === null || keys.length === 0 || deps.langSmith === undefined) return;
    try {
      const urls = await feedbackUrls(deps.langSmith, claim.runId, keys);
      if (!abort.signal.aborted) writer.emit('feedback', JSON.stringify(urls));
    } catch (error) {
      deps.onTrouble(`feedback URLs of run ${claim.runId}`, error);
    }
  }

  async function outcomeOf(execution: Promise<ExecutionResult>): Promise<Outcome | Error> {
    try {
      return { status: 'success', error: null, result: await execution };
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  async function conclude(
    owner: LogOwner,
    writer: LogWriter,
    outcome: Outcome | Error | undefined,
  ): Promise<void> {
    // A graph that was done before it noticed the stop has succeeded; a rollback still takes it back.
    const why = outcome === undefined || outcome instanceof Error ? reason : undefined;
    switch (why?.kind) {
      case 'lost':
        writer.finish();
        deps.metrics.fenced.inc();
        return;
      case 'shutdown':
        await handOver(owner, writer, 0);
        return;
      case 'cancel':
        await end(owner, writer, { status: 'interrupted', error: null, result: null }, why.action);
        return;
      case 'timeout':
        await end(owner, writer, timedOut(writer, deps.timeoutMs));
        return;
      case undefined:
    }
    if (outcome === undefined) return;
    if (!(outcome instanceof Error)) await end(owner, writer, outcome);
    else if (outcome instanceof LogFencedError || isCode(outcome, 'term_fenced')) {
      writer.finish();
      deps.metrics.fenced.inc();
    } else if (isTransient(outcome) && claim.failures + 1 < FAILURES_MAX)
      await handOver(owner, writer, 1);
    else await end(owner, writer, failed(writer, outcome));
  }

  async function handOver(owner: LogOwner, writer: LogWriter, failures: 0 | 1): Promise<void> {
    const ending = { ...restOf(owner, writer), threadId: owner.threadId, runId: owner.runId };
    const next = await persist(() =>
      handOverRun(deps.pool, { ...ending, term: owner.term }, failures),
    );
    deps.signals.publish('log', owner.threadId);
    deps.metrics.runsRequeued.inc({ reason: failures === 0 ? 'shutdown' : 'transient' });
    if (next === undefined) return;
    deps.queue.wake([next]);
    // The queue's own notice may go to this process, which is about to stop: others look at once.
    deps.signals.publish('queue', '');
  }

  async function end(
    owner: LogOwner,
    writer: LogWriter,
    { status, error, result }: Outcome,
    action: CancelAction = 'interrupt',
  ): Promise<void> {
    const state = result?.state;
    const threadStatus =
      status === 'error' || status === 'timeout'
        ? 'error'
        : (state?.next.length ?? 0) > 0
          ? 'interrupted'
          : 'idle';
    const { rest, lastSeq, unsentFirst, unsent } = restOf(
      owner,
      writer,
      rootLifecycle(claim, rootStatus(status, threadStatus), error?.message),
    );
    const values = state === undefined ? null : encodeData(state.values);
    const output = result === null ? null : encodeData(result.output);
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
    };
    let finished: Finished | undefined =
      action === 'rollback'
        ? { outcome: 'rollback' }
        : await persist(() => finishRun(deps.pool, ending));
    let ended: string = status;
    if (finished?.outcome === 'rollback') {
      ended = 'deleted';
      finished = await persist(() => rollBackRun(deps.pool, ending));
    }
    if (finished?.outcome !== 'ended') {
      deps.metrics.fenced.inc();
      return;
    }
    deps.metrics.runsEnded.inc({ status: ended });
    const end = {
      threadId: owner.threadId,
      runId: owner.runId,
      status: ended,
      lastSeq,
      term: owner.term,
    };
    publishEnd(deps, owner, end, finished.next, { first: unsentFirst, events: unsent });
    if (ending.webhook !== null) deps.signals.publish('webhook', owner.runId);
  }

  /** Tries a terminal write until Postgres takes it; under its term a late success does no harm. */
  async function persist<T>(write: () => Promise<T>): Promise<T | undefined> {
    const until = Date.now() + FINISH_LIMIT_MS;
    for (let waitMs = FINISH_RETRY_MS.first; ; waitMs = Math.min(waitMs * 2, FINISH_RETRY_MS.max)) {
      try {
        return await write();
      } catch (error) {
        if (!isTransient(error) || Date.now() > until) throw error;
        deps.onTrouble(`end run ${claim.runId}`, error);
        await delay(waitMs);
      }
    }
  }

  return { runId: claim.runId, stop, done: run() };
}

/** @param terminal written with the end itself: whoever reads it finds the end in Postgres */
function restOf(
  owner: LogOwner,
  writer: LogWriter,
  terminal: readonly LogEvent[] = [],
): Pick<RunEnding, 'rest' | 'lastSeq'> & { unsentFirst: number; unsent: LogEvent[] } {
  const finished = writer.finish();
  const { first, unsentFirst } = finished;
  const events = [...finished.events, ...terminal];
  const last = finished.last + terminal.length;
  return {
    rest: events.map((event, i) => ({
      threadId: owner.threadId,
      seq: first + i,
      term: owner.term,
      ...event,
    })),
    lastSeq: last,
    unsentFirst,
    unsent: events.slice(unsentFirst - first),
  };
}

function rootStatus(status: TerminalStatus, threadStatus: RunEnding['threadStatus']): RootStatus {
  if (threadStatus === 'error') return 'failed';
  return status === 'interrupted' || threadStatus === 'interrupted' ? 'interrupted' : 'completed';
}

const isCode = (error: Error, code: AppError['code']): boolean =>
  error instanceof AppError && error.code === code;

/** The error is the last event of the run, and stands in its row. */
function failed(writer: LogWriter, cause: Error): Outcome {
  const error = { error: cause.name, message: cause.message };
  writer.emit('error', JSON.stringify(error));
  return { status: 'error', error, result: null };
}

function timedOut(writer: LogWriter, timeoutMs: number): Outcome {
  const error = { error: 'RunTimeoutError', message: `run exceeded ${timeoutMs / 1_000} s` };
  writer.emit('error', JSON.stringify(error));
  return { status: 'timeout', error, result: null };
}

/** Every attempt was lost: the run itself is the likely killer, so it is not tried again. */
function deadLetter(writer: LogWriter, failures: number): Outcome {
  const error = {
    error: 'WorkerLostError',
    message: `the run was given up: ${failures} attempts were lost or failed`,
  };
  writer.emit('error', JSON.stringify(error));
  return { status: 'error', error, result: null };
}
