/**
 * The wake-up list beside another queue: foreign workers and tools find in it what the documents promise, one
 * sentinel for each run that waits, and its length is the queue's. Whoever takes a wake-up of the queue takes one
 * from the list, too, so it stays short without foreign workers; its bound holds whatever happens.
 */
import type { Redis } from '../redis/connect.ts';
import { SENTINEL } from './list.ts';
import type { RunHandler, RunQueue, WakeUp } from './port.ts';

export interface BesideListOptions {
  readonly redis: Redis;
  readonly list: string;
  readonly lengthMax: number;
  onTrouble(what: string, error: unknown): void;
}

export function besideList(queue: RunQueue, options: BesideListOptions): RunQueue {
  const { redis, list, lengthMax } = options;
  const copy = (runs: readonly WakeUp[]): void => {
    const count = Math.min(runs.filter((run) => run.delayMs <= 0).length, lengthMax);
    if (count === 0) return;
    redis
      .pipeline()
      .lpush(list, ...new Array<string>(count).fill(SENTINEL))
      .ltrim(list, 0, lengthMax - 1)
      .exec()
      .catch((error: unknown) => {
        options.onTrouble('push to the list beside the queue', error);
      });
  };
  return {
    ...queue,
    wake(runs) {
      queue.wake(runs);
      copy(runs);
    },
  };
}

/** For the consumer of the queue: each wake-up it takes takes one from the list. */
export function takeBeside(handler: RunHandler, options: BesideListOptions): RunHandler {
  return (runId) => {
    options.redis.rpop(options.list).catch((error: unknown) => {
      options.onTrouble('take from the list beside the queue', error);
    });
    return handler(runId);
  };
}
