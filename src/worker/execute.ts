/**
 * One attempt at one run, from the claim to its conclusion. Whatever stops it early is a stop reason; what
 * the run becomes follows from the reason:
 *
 *   cancel ──▶ interrupted, or removed (rollback)     timeout ──▶ timeout
 *   shutdown ──▶ handed over, no failure counted      lost, fenced ──▶ nothing, somebody else owns it
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { LogBackend, LogOwner } from '../events/backend.ts';
import { createLogWriter } from '../events/writer.ts';
import type { LogWriter } from '../events/writer.ts';
import { createDeferred } from '../lib/deferred.ts';
import { isTransient } from '../postgres/pool.ts';
import type { Claim } from '../runs/claim.ts';
import { FAILURES_MAX } from '../runs/lease.ts';
import { openTerm } from '../runs/term.ts';
import { contextOf, currentContext, failSpan, recordSpan, traced } from '../telemetry/tracing.ts';
import { endRun, handOver } from './conclude.ts';
import type { ConcludeDeps } from './conclude.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import { deadLetter, failed, interrupted, isFenced, outcomeOf, timedOut } from './outcome.ts';
import type { Outcome } from './outcome.ts';
import { runGraph } from './run-graph.ts';
import type { RunGraphDeps } from './run-graph.ts';
import { RunStoppedError } from './stop.ts';
import type { Stop } from './stop.ts';

/** How long a graph may take to stop after its signal was aborted, before it is left behind. */
const ABORT_GRACE_MS = 500;

export interface ExecuteDeps extends ConcludeDeps, RunGraphDeps {
  readonly directLog: LogBackend;
  readonly leases: LeaseKeeper;
  readonly timeoutMs: number;
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

  function run(): Promise<void> {
    return traced(
      'run',
      {
        parent: contextOf(claim.kwargs.trace),
        attributes: {
          'run.id': claim.runId,
          'run.attempt': claim.attempt,
          'thread.id': claim.threadId,
          'graph.id': claim.graphId ?? '',
        },
      },
      async (span) => {
        await hold();
        if (reason !== undefined) failSpan(span, `stopped: ${reason.kind}`);
        span.end();
      },
    );
  }

  async function hold(): Promise<void> {
    deps.metrics.runsRunning.inc();
    const timer = setTimeout(() => {
      stop({ kind: 'timeout' });
    }, deps.timeoutMs);
    let drop: (() => void) | undefined;
    try {
      drop = deps.leases.hold(claim, {
        onLost: () => {
          stop({ kind: 'lost' });
        },
        onCancel: (action) => {
          stop({ kind: 'cancel', action });
        },
      });
      await attempt();
    } catch (error) {
      // The lease lapses and the next attempt goes on from the last checkpoint.
      deps.onTrouble(`execute run ${claim.runId}`, error);
    } finally {
      clearTimeout(timer);
      drop?.();
      deps.metrics.runsRunning.dec();
    }
  }

  async function attempt(): Promise<void> {
    const opened = stage('open');
    const owner = await openTerm(deps, claim);
    opened();
    if (owner === undefined) {
      deps.tell.runFenced(claim.runId);
      return;
    }
    const writer = writerFor(owner);
    if (claim.cancelAction !== null) stop({ kind: 'cancel', action: claim.cancelAction });
    const executed = stage('execute');
    const outcome =
      claim.failures >= FAILURES_MAX && reason === undefined
        ? deadLetter(writer, claim.failures)
        : await Promise.race([
            outcomeOf(runGraph(deps, claim, owner, writer, abort.signal)),
            leftBehind(),
          ]);
    executed();
    const concluded = stage('end');
    await conclude(owner, writer, outcome);
    concluded();
  }

  /** A stage begins: its time goes to the metrics and, as a span, under the run. @returns ends it */
  function stage(name: 'open' | 'execute' | 'end'): () => void {
    const parent = currentContext();
    const startMs = Date.now();
    const measured = deps.metrics.stageSeconds.startTimer({ stage: name });
    return () => {
      measured();
      recordSpan(name, parent, { startMs, endMs: Date.now() });
    };
  }

  function writerFor(owner: LogOwner): LogWriter {
    return createLogWriter(
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
  }

  /** After a stop the graph gets a moment to end by itself. */
  async function leftBehind(): Promise<undefined> {
    await stopped.promise;
    await delay(ABORT_GRACE_MS, undefined, { ref: false });
    return undefined;
  }

  async function conclude(
    owner: LogOwner,
    writer: LogWriter,
    outcome: Outcome | Error | undefined,
  ): Promise<void> {
    const over = { claim, owner, writer };
    // A graph that was done before it noticed the stop has succeeded; a rollback still takes it back.
    const why = outcome === undefined || outcome instanceof Error ? reason : undefined;
    switch (why?.kind) {
      case 'lost':
        leave(writer);
        return;
      case 'shutdown':
        await handOver(deps, over, 0);
        return;
      case 'cancel':
        await endRun(deps, over, interrupted, why.action);
        return;
      case 'timeout':
        await endRun(deps, over, timedOut(writer, deps.timeoutMs));
        return;
      case undefined:
    }
    if (outcome === undefined) return;
    if (!(outcome instanceof Error)) await endRun(deps, over, outcome);
    else if (isFenced(outcome)) leave(writer);
    else if (isTransient(outcome) && claim.failures + 1 < FAILURES_MAX)
      await handOver(deps, over, 1);
    else await endRun(deps, over, failed(writer, outcome));
  }

  /** Somebody else owns the run. */
  function leave(writer: LogWriter): void {
    writer.finish();
    deps.tell.runFenced(claim.runId);
  }

  return { runId: claim.runId, stop, done: run() };
}
