/** Looks for crons that are due and fires them. Safe to run in every process at once: see src/crons/fire.ts. */
import { fireNext } from '../crons/fire.ts';
import type { BuildRun } from '../crons/fire.ts';
import type { Service } from '../lib/service.ts';
import type { SubmitDeps } from '../runs/submit.ts';
import type { Tell } from '../telemetry/tell.ts';

/** Crons that one look fires at most; the rest is the next look's, or another process'. */
const PER_LOOK_MAX = 200;

export interface CronSchedulerDeps {
  readonly submit: SubmitDeps;
  readonly buildRun: BuildRun;
  readonly tell: Tell;
  /** How late a run may be. */
  readonly pollMs: number;
  onTrouble(what: string, error: unknown): void;
}

export function createCronScheduler(deps: CronSchedulerDeps): Service {
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> | undefined;
  let stopping = false;

  async function look(): Promise<void> {
    try {
      for (let n = 0; n < PER_LOOK_MAX && !stopping; n++) {
        const fired = await fireNext(deps.submit, deps.buildRun);
        if (fired === undefined) return;
        if (fired.error !== undefined) deps.onTrouble(`cron ${fired.cronId}`, fired.error);
        if (fired.error !== undefined || fired.runId !== undefined)
          deps.tell.cronFired(fired.runId === undefined ? 'failed' : 'fired', fired.cronId);
      }
    } catch (error) {
      deps.onTrouble('crons', error);
    }
  }

  return {
    start() {
      timer ??= setInterval(() => {
        looking ??= look().finally(() => (looking = undefined));
      }, deps.pollMs);
      return Promise.resolve();
    },
    async stop() {
      stopping = true;
      clearInterval(timer);
      await looking;
    },
  };
}
