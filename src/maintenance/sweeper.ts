/**
 * Puts right what a crash or a lost message left behind. It looks at what is, not at what happened, so
 * running it twice, or in every process at once, changes nothing more than running it once.
 */
import type { Service } from '../lib/service.ts';
import { wasAway } from '../postgres/pool.ts';
import { overdueRuns, requeueExpired, unheededCancels } from '../runs/lease.ts';
import { admit, admitHeld, heldKeys, keysOutside } from '../runs/ring.ts';
import type { FairnessRules } from '../runs/fairness.ts';
import { deleteExpiredThreads } from '../runs/retention.ts';
import { deleteExpiredKeys } from '../runs/submit-once.ts';
import { deleteOldDeliveries } from '../webhooks/deliveries.ts';
import { endPending } from './end-pending.ts';
import { endByFence } from './end-by-fence.ts';
import type { EndInPlaceDeps } from './end-in-place.ts';

/** A run that should have begun this long ago: its wake-up is taken for lost and sent again. */
const OVERDUE_MS = 2_000;
/** Retention is looked at every so many sweeps. */
const RETENTION_SWEEPS = 20;

export interface SweeperDeps extends EndInPlaceDeps {
  readonly fairness: FairnessRules;
  readonly intervalMs: number;
  readonly leaseMs: number;
  readonly cancelDeadlineMs: number;
  /** A run that no worker takes for this long ends as error; 0: it waits. */
  readonly pendingTimeoutMs: number;
  readonly temporaryThreadTtlMs: number;
  /** What else has outlived its time: each removes a batch of it. */
  readonly expirers: readonly (() => Promise<unknown>)[];
}

export interface Sweeper extends Service {
  /** One sweep now. */
  sweep(): Promise<void>;
}

export function createSweeper(deps: SweeperDeps): Sweeper {
  let timer: NodeJS.Timeout | undefined;
  let sweeping: Promise<void> | undefined;
  let sweeps = 0;
  /**
   * While Postgres was away nobody could renew: what lapsed then gets one more lease's time, by a clock that does not
   * jump. A process that begins does not know what was before, so its first sweeps take nothing, either.
   */
  let spareUntil = 0;
  const spare = (): void => {
    spareUntil = performance.now() + deps.leaseMs;
  };
  function onFailure(error: unknown): void {
    // Anything else may come again at every sweep, and would keep the lost runs for ever.
    if (wasAway(error)) spare();
    deps.onTrouble('sweep', error);
  }
  /** Where among the keys with runs outside the ring the next sweep goes on. */
  let keysAfter: string | null = null;

  async function sweepOnce(): Promise<void> {
    const begun = performance.now();
    const seconds = (): number => (performance.now() - begun) / 1_000;
    try {
      if (begun >= spareUntil) {
        const requeued = await requeueExpired(deps.pool);
        for (const { runId } of requeued) deps.tell.runRequeued('lost', runId);
        deps.queue.wake(requeued.map((run) => ({ ...run, delayMs: 0 })));
      }
      await letIn();
      await wakeOverdue();
      for (const run of await unheededCancels(deps.pool, deps.cancelDeadlineMs))
        await endByFence(deps, run);
      if (deps.pendingTimeoutMs > 0) await endPending(deps, deps.pendingTimeoutMs);
      const expired = sweeps++ % RETENTION_SWEEPS !== 0 || (await expireAll());
      deps.tell.swept(expired ? 'ok' : 'failed', seconds());
    } catch (error) {
      deps.tell.swept('failed', seconds());
      onFailure(error);
    }
  }

  /** One that fails keeps no other from its turn. @returns whether none has */
  async function expireAll(): Promise<boolean> {
    let ok = true;
    for (const expire of [
      () => deleteExpiredThreads(deps.pool, deps.temporaryThreadTtlMs),
      () => deleteOldDeliveries(deps.pool),
      () => deleteExpiredKeys(deps.pool),
      ...deps.expirers,
    ])
      await expire().catch((error: unknown) => {
        ok = false;
        onFailure(error);
      });
    return ok;
  }

  /** Runs whose time has come, or whose admission was lost. */
  async function letIn(): Promise<void> {
    const { keys, next } = await keysOutside(deps.pool, keysAfter);
    keysAfter = next;
    const admitted = await admit(deps.pool, keys);
    for (const key of await heldKeys(deps.pool, keys))
      admitted.push(...(await admitHeld(deps.pool, deps.fairness, key)));
    deps.queue.wake(admitted.map((run) => ({ ...run, delayMs: 0 })));
  }

  async function wakeOverdue(): Promise<void> {
    const overdue = await overdueRuns(deps.pool, OVERDUE_MS);
    if (overdue.length > 0) await deps.queue.repair(overdue.map((run) => ({ ...run, delayMs: 0 })));
  }

  const sweep = (): Promise<void> =>
    (sweeping ??= sweepOnce().finally(() => (sweeping = undefined)));

  return {
    sweep,
    start() {
      if (timer !== undefined) return Promise.resolve();
      spare();
      timer = setInterval(() => void sweep(), deps.intervalMs);
      return Promise.resolve();
    },
    async stop() {
      clearInterval(timer);
      timer = undefined;
      await sweeping;
    },
  };
}
