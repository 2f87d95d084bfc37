/**
 * Executes runs in a number of slots. Wake-ups (the queue), signals and looks all say the same: with a slot free,
 * claim the first run of the ring. Which one that is, Postgres decides, so priorities and turns hold whatever
 * order wake-ups come in. The look is the way when Redis is away.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Service } from '../lib/service.ts';
import type { RunConsumer, RunHandler } from '../queue/port.ts';
import { claimNextRun, claimOutside, claimRun } from '../runs/claim.ts';
import type { Claim, Claimer } from '../runs/claim.ts';
import { limitOf } from '../runs/fairness.ts';
import type { FairnessRules } from '../runs/fairness.ts';
import { letIn } from '../runs/submit.ts';
import { contextOf, recordSpan } from '../telemetry/tracing.ts';
import { execute } from './execute.ts';
import type { ActiveRun, ExecuteDeps } from './execute.ts';
import { createLastChance } from './last-chance.ts';

const LOOK_INTERVAL_MS = 1_000;
/** While wake-ups work, a look claims only when a run has waited this long: its wake-up is lost. */
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
  /** Attempts: two at one run for a moment, when it was lost and came back to this process. */
  const active = new Set<ActiveRun>();
  /** Claims under way count as taken slots. What one takes is in `active` before it settles. */
  const claims = new Set<Promise<unknown>>();
  let stopping = false;
  let timer: NodeJS.Timeout | undefined;
  let stopped: Promise<void> | undefined;
  const waiting: (() => void)[] = [];

  const free = (): boolean => !stopping && active.size + claims.size < deps.slots;

  const lastChance = createLastChance(() => {
    if (timer !== undefined) void look(true);
  });

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
    active.add(run);
    void run.done.then(() => {
      active.delete(run);
      lastChance.over(claim);
      waiting.shift()?.();
      // With its end, another of its key may begin.
      if (limitOf(deps.fairness, claim.fairKey) !== undefined) void letIn(deps, claim.fairKey);
      // Behind a run on a thread of its own no other waits.
      if (!deps.wakeUpsWork() && !(ringEmpty && claim.freshThread)) void look(false);
    });
    if (claim.refill) void refill(claim.fairKey);
    return run;
  }

  /** Never two slots for one run: the claim's is given up as the run takes its own. */
  function take(
    ask: (lastChances: boolean) => Promise<Claim | undefined>,
  ): Promise<{ run: ActiveRun; more: boolean } | undefined> {
    const begun = performance.now();
    const taking = lastChance.claim(ask).then(
      (claim) => {
        claims.delete(taking);
        return claim && { run: begin(claim, begun), more: claim.more };
      },
      (error: unknown) => {
        claims.delete(taking);
        throw error;
      },
    );
    claims.add(taking);
    return taking;
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
    let run: ActiveRun | undefined;
    try {
      run = (await take((lastChances) => claimWoken(runId, lastChances)))?.run;
    } catch (error) {
      deps.onTrouble('claim', error);
    }
    if (run === undefined) waiting.shift()?.();
    else await run.done;
    return true;
  };

  let looking = false;
  let lookAgain = false;
  /** The last claim has seen that it left nothing in the ring, not even what others had locked: what comes later is told. */
  let ringEmpty = false;
  let askedNow = false;
  let askedOutside = false;
  /**
   * Fills the free slots with the first runs of the ring.
   * @param now also when none has waited for long: wake-ups may be on their way
   * @param outside also with runs that should be in the ring and are not
   */
  async function look(now: boolean, outside = false): Promise<void> {
    askedNow ||= now;
    askedOutside ||= outside;
    ringEmpty = false;
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
          const ask = (lastChances: boolean): Promise<Claim | undefined> =>
            claimLooked(ageMs, everywhere, lastChances);
          const taken = await take(ask);
          // A wake-up that came meanwhile found this slot taken by the look.
          if (taken === undefined) waiting.shift()?.();
          // Runs that are too young for this look, or outside the ring, may be there; what comes later says so.
          if (taken === undefined || (!taken.more && !everywhere)) {
            ringEmpty = taken !== undefined && !lookAgain;
            break;
          }
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
    // What is being claimed at this moment has to be handed over, too.
    await within([...claims], HAND_OVER_LIMIT_MS);
    await within(inHand(), deps.graceMs);
    for (const run of active) run.stop({ kind: 'shutdown' });
    await within(inHand(), HAND_OVER_LIMIT_MS);
    await consumer?.stop();
    await deps.leases.stop();
  }

  const inHand = (): Promise<void>[] => [...active].map((run) => run.done);

  /** Waits for all of them, but not longer than `limitMs`. */
  async function within(all: readonly Promise<unknown>[], limitMs: number): Promise<void> {
    if (all.length === 0 || limitMs <= 0) return;
    let limit: NodeJS.Timeout | undefined;
    await Promise.race([
      Promise.allSettled(all),
      new Promise((resolve) => (limit = setTimeout(resolve, limitMs))),
    ]);
    clearTimeout(limit);
  }

  return {
    active: () => [...active],
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
