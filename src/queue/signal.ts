/**
 * The run queue without Redis: a signal tells that runs wait, and every worker with a free slot claims
 * the oldest from Postgres. Delayed runs are found when workers look.
 */
import type { Signals } from '../postgres/signals.ts';
import type { RunQueue } from './port.ts';

export function createSignalQueue(signals: Signals): RunQueue {
  return {
    wake(runs) {
      if (runs.some((run) => run.delayMs <= 0)) signals.publish('queue', '');
    },
    depth: () => Promise.resolve(undefined),
    stop: () => Promise.resolve(),
  };
}
