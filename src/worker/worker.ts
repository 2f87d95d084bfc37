/**
 * Executes runs in a number of slots. Wake-ups (the queue), signals and looks all say the same: with a slot free,
 * claim the first run of the ring. Which one that is, Postgres decides, so priorities and turns hold whatever
 * order wake-ups come in. The look is the way when Redis is away.
 *
 * Of the runs that were lost as often as one may be, one at a time is executed in a process: if one of them
 * kills it, the others, which may only have been beside it each time, do not lose their last chance with it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Service } from '../lib/service.ts';
import type { RunConsumer, RunHandler } from '../queue/port.ts';
import { claimNextRun, claimOutside, claimRun, isLastChance } from '../runs/claim.ts';
import type { Claim, Claimer } from '../runs/claim.ts';
import { limitOf } from '../runs/fairness.ts';
import type { FairnessRules } from '../runs/fairness.ts';
import { letIn } from '../runs/submit.ts';
import { contextOf, recordSpan } from '../telemetry/tracing.ts';
import { execute } from './execute.ts';
import type { ActiveRun, ExecuteDeps } from './execute.ts';

const LOOK_INTERVAL_MS = 1_000;
/** While wake-ups work, a look takes only runs that have waited this long: their wake-up is lost. */
const OVERDUE_MS = 3_000;
/** How long runs that are told to stop may take to be handed over. */
const HAND_OVER_LIMIT_MS = 10_000;
/** A wake-up that finds nothing asks once more after this: the row it was for may have been locked for a moment. */
const LOCKED_RETRY_MS = 20;

export interface WorkerDeps extends ExecuteDeps {
  readonly claimer: Claimer;
  readonly fairness: FairnessRules;
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
  /** Where a run on its last chance is executed, or may be being claimed. */
  let lastChanceTaken = false;
  let stopping = false;
  let timer: NodeJS.Timeout | undefined;
  let stopped: Promise<void> | undefined;
  const waiting: (() => void)[] = [];

  const free = (): boolean => !stopping && active.size + claiming < deps.slots;

  /** Claims with one at a time allowed to bring a run on its last chance. */
  async function claimWith(
    take: (lastChances: boolean) => Promise<Claim | undefined>,
  ): Promise<Claim | undefined> {
    const ours = !lastChanceTaken;
    if (ours) lastChanceTaken = true;
    claiming++;
    let kept = false;
    try {
      const claim = await take(ours);
      kept = ours && claim !== undefined && isLastChance(claim);
      return claim;
    } finally {
      claiming--;
      if (ours && !kept) lastChanceTaken = false;
    }
  }

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
      if (isLastChance(claim)) lastChanceTaken = false;
      waiting.shift()?.();
      // With its end, another of its key may begin.
      if (limitOf(deps.fairness, claim.fairKey) !== undefined) void letIn(deps, claim.fairKey);
      if (!deps.wakeUpsWork()) void look(false);
      // The wake-ups of others on their last chance have come and gone.
      else if (isLastChance(claim)) void look(true);
    });
    if (claim.refill) void refill(claim.fairKey);
    return run;
  }

  /** Keys whose runs are being let in; those asked for meanwhile follow at once, each key once. */
  const refilling = new Map<string, { again: boolean }>();
  async function refill(key: string): Promise<void> {
    const under = refilling.get(key);
    if (under !== undefined) {
      under.again = true;
      return;
    }
    const state = { again: true };
    refilling.set(key, state);
    while (state.again) {
      state.again = false;
      await letIn(deps, key);
    }
    refilling.delete(key);
  }

  /** Of a wake-up: the first of the ring; else the very run it was sent for, or any that should be in the ring. */
  async function claimWoken(
    runId: string | undefined,
    lastChances: boolean,
  ): Promise<Claim | undefined> {
    const { pool, claimer } = deps;
    const first =
      (await claimNextRun(pool, claimer, 0, lastChances)) ??
      (await (runId === undefined
        ? claimOutside(pool, claimer, 0, lastChances)
        : claimRun(pool, claimer, runId, lastChances)));
    if (first !== undefined) return first;
    await delay(LOCKED_RETRY_MS);
    return claimNextRun(pool, claimer, 0, lastChances);
  }

  const onWakeUp: RunHandler = async (runId) => {
    // The consumer has as many slots as the worker, but runs found by looking take some of them.
    while (!stopping && !free()) await new Promise<void>((resolve) => waiting.push(resolve));
    if (stopping) return false;
    const begun = performance.now();
    let claim: Claim | undefined;
    try {
      claim = await claimWith((lastChances) => claimWoken(runId, lastChances));
    } catch (error) {
      deps.onTrouble('claim', error);
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
  let askedOutside = false;
  /**
   * Fills the free slots with the first runs of the ring.
   * @param now also with those whose wake-up may be on its way
   * @param outside also with runs that should be in the ring and are not
   */
  async function look(now: boolean, outside = false): Promise<void> {
    askedNow ||= now;
    askedOutside ||= outside;
    if (looking) {
      lookAgain = true;
      return;
    }
    looking = true;
    try {
      do {
        lookAgain = false;
        const ageMs = askedNow || !deps.wakeUpsWork() ? 0 : OVERDUE_MS;
        const everywhere = askedOutside;
        askedNow = askedOutside = false;
        while (free()) {
          const begun = performance.now();
          const claim = await claimWith((lastChances) =>
            claimLooked(ageMs, everywhere, lastChances),
          );
          if (claim === undefined) {
            // A wake-up that came meanwhile found this slot taken by the look.
            waiting.shift()?.();
            break;
          }
          begin(claim, begun);
        }
      } while (lookAgain as boolean);
    } catch (error) {
      waiting.shift()?.();
      deps.onTrouble('look for runs', error);
    } finally {
      looking = false;
    }
  }

  async function claimLooked(
    ageMs: number,
    everywhere: boolean,
    lastChances: boolean,
  ): Promise<Claim | undefined> {
    const { pool, claimer } = deps;
    return (
      (await claimNextRun(pool, claimer, ageMs, lastChances)) ??
      (everywhere ? claimOutside(pool, claimer, ageMs, lastChances) : undefined)
    );
  }

  const consumer = deps.consumer?.(onWakeUp);

  deps.signals.on('queue', () => {
    if (timer !== undefined) void look(true);
  });
  deps.signals.onGap(() => {
    if (timer !== undefined) void look(true, true);
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
      timer = setInterval(() => void look(false, true), LOOK_INTERVAL_MS);
      void look(false, true);
    },
    stop: () => (stopped ??= stop()),
  };
}
