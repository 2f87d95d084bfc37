/**
 * Executes runs in a number of slots. Runs come by wake-ups (BullMQ), by signals, and by looking: with
 * a slot free, the oldest claimable run in Postgres is taken. The look is the way when Redis is away.
 */
import type { Service } from '../lib/service.ts';
import type { RunConsumer, RunHandler } from '../queue/port.ts';
import { claimNextRun, claimRun } from '../runs/claim.ts';
import type { Claim, Claimer } from '../runs/claim.ts';
import { contextOf, recordSpan } from '../telemetry/tracing.ts';
import { execute } from './execute.ts';
import type { ActiveRun, ExecuteDeps } from './execute.ts';

const LOOK_INTERVAL_MS = 1_000;
/** While wake-ups work, a look takes only runs that have waited this long: their wake-up is lost. */
const OVERDUE_MS = 3_000;
/** How long runs that are told to stop may take to be handed over. */
const HAND_OVER_LIMIT_MS = 10_000;

export interface WorkerDeps extends ExecuteDeps {
  readonly claimer: Claimer;
  readonly slots: number;
  /** How long runs may go on after stop() before they are handed over. */
  readonly graceMs: number;
  /** undefined: signals and looks only. */
  readonly consumer: ((handler: RunHandler) => RunConsumer) | undefined;
  /** True while wake-ups can be expected to come. */
  wakeUpsWork(): boolean;
}

export interface Worker extends Service {
  /** Runs in hand. */
  active(): readonly ActiveRun[];
}

export function createWorker(deps: WorkerDeps): Worker {
  const active = new Map<string, ActiveRun>();
  /** Claims under way count as taken slots. */
  let claiming = 0;
  let stopping = false;
  let timer: NodeJS.Timeout | undefined;
  let stopped: Promise<void> | undefined;
  const waiting: (() => void)[] = [];

  const free = (): boolean => !stopping && active.size + claiming < deps.slots;

  /** @param begun when the claim was asked for, of performance.now */
  function begin(claim: Claim, begun: number): ActiveRun {
    deps.tell.runClaimed(claim, {
      wait: claim.attempt === 1 ? Math.max(claim.dueSeconds, 0) : undefined,
      claim: (performance.now() - begun) / 1_000,
    });
    const parent = contextOf(claim.kwargs.trace);
    const endMs = Date.now();
    const startMs = endMs - (performance.now() - begun);
    const ids = { 'run.id': claim.runId, 'run.attempt': claim.attempt };
    if (claim.attempt === 1)
      recordSpan('queue wait', parent, { startMs: endMs - claim.dueSeconds * 1_000, endMs }, ids);
    recordSpan('claim', parent, { startMs, endMs }, ids);
    const run = execute(deps, claim);
    active.set(run.runId, run);
    void run.done.then(() => {
      active.delete(run.runId);
      waiting.shift()?.();
      if (!deps.wakeUpsWork()) void look(false);
    });
    return run;
  }

  const onWakeUp: RunHandler = async (runId) => {
    // The consumer has as many slots as the worker, but runs found by looking take some of them.
    while (!stopping && !free()) await new Promise<void>((resolve) => waiting.push(resolve));
    if (stopping) return false;
    claiming++;
    const begun = performance.now();
    let claim: Claim | undefined;
    try {
      claim = await claimRun(deps.pool, deps.claimer, runId);
    } catch (error) {
      deps.onTrouble('claim', error);
    } finally {
      claiming--;
    }
    if (claim === undefined) {
      waiting.shift()?.();
      return true;
    }
    await begin(claim, begun).done;
    return true;
  };

  let looking = false;
  let lookAgain = false;
  let askedNow = false;
  /** Fills the free slots with the oldest claimable runs. @param now also with those whose wake-up may be on its way */
  async function look(now: boolean): Promise<void> {
    askedNow ||= now;
    if (looking) {
      lookAgain = true;
      return;
    }
    looking = true;
    try {
      do {
        lookAgain = false;
        const ageMs = askedNow || !deps.wakeUpsWork() ? 0 : OVERDUE_MS;
        askedNow = false;
        while (free()) {
          claiming++;
          const begun = performance.now();
          const claim = await claimNextRun(deps.pool, deps.claimer, ageMs).finally(
            () => claiming--,
          );
          if (claim === undefined) break;
          begin(claim, begun);
        }
      } while (lookAgain as boolean);
    } catch (error) {
      deps.onTrouble('look for runs', error);
    } finally {
      looking = false;
    }
  }

  const consumer = deps.consumer?.(onWakeUp);

  deps.signals.on('queue', () => {
    if (timer !== undefined) void look(true);
  });
  deps.signals.onGap(() => {
    if (timer !== undefined) void look(true);
  });
  deps.signals.on('control', (runId) => {
    // The signal is a hint that anybody may send: the lease thread asks Postgres for the truth.
    deps.leases.ask(runId);
  });

  async function stop(): Promise<void> {
    stopping = true;
    clearInterval(timer);
    timer = undefined;
    for (const resolve of waiting.splice(0)) resolve();
    await consumer?.pause();
    await within(deps.graceMs);
    for (const run of active.values()) run.stop({ kind: 'shutdown' });
    await within(HAND_OVER_LIMIT_MS);
    await consumer?.stop();
    await deps.leases.stop();
  }

  /** Waits for the runs in hand, but not longer than `limitMs`. */
  async function within(limitMs: number): Promise<void> {
    if (active.size === 0 || limitMs <= 0) return;
    let limit: NodeJS.Timeout | undefined;
    await Promise.race([
      Promise.all([...active.values()].map((run) => run.done)),
      new Promise((resolve) => (limit = setTimeout(resolve, limitMs))),
    ]);
    clearTimeout(limit);
  }

  return {
    active: () => [...active.values()],
    async start() {
      if (timer !== undefined) return;
      await deps.leases.start();
      await consumer?.start();
      timer = setInterval(() => void look(false), LOOK_INTERVAL_MS);
      void look(false);
    },
    stop: () => (stopped ??= stop()),
  };
}
