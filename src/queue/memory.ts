/**
 * The run queue without a store: a signal tells that runs wait, and every worker with a free slot claims
 * from Postgres. Delayed runs are found when workers look.
 */
import type { Signals } from '../postgres/signals.ts';
import type { RunQueue } from './port.ts';

export function createMemoryQueue(signals: Signals): RunQueue {
  const queue: RunQueue = {
    wake(runs) {
      if (runs.some((run) => run.delayMs <= 0)) signals.publish('queue', '');
    },
    repair(runs) {
      queue.wake(runs);
      return Promise.resolve();
    },
    depth: () => Promise.resolve(undefined),
    stop: () => Promise.resolve(),
  };
  return queue;
}
