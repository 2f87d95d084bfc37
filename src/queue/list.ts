/**
 * The run queue as the documented wake-up list: LPUSH when a run is created, BRPOP by workers. An element is a
 * sentinel and says nothing but "look"; so two round trips a run are all it costs, and the length is the queue's.
 *
 * What a list cannot do is left to Postgres: delayed runs are woken by the sweeper when they are due, and
 * a sentinel that was popped by a process that died is replaced by `repair`.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from '../redis/connect.ts';
import type { Scripts } from '../redis/scripts.ts';
import type { RunConsumer, RunHandler, RunQueue } from './port.ts';

export const SENTINEL = '1';
/** Elements of the list; more wake-ups than this tell nothing new. */
export const LIST_LENGTH_MAX = 100_000;
/** Sentinels of one LPUSH. */
const PUSH_MAX = 1_000;
/** BRPOP comes back at least this often, so that a lost connection is noticed. */
const BLOCK_SECS = 5;
const RETRY_MS = 500;
const STOP_LIMIT_MS = 1_000;
/** A foreign element may be anything; this much of it is shown. */
const SHOWN_LENGTH_MAX = 80;

export interface ListQueueOptions {
  readonly redis: Redis;
  readonly scripts: Scripts;
  /** The list's key. */
  readonly list: string;
  onTrouble(what: string, error: unknown): void;
  /** Called when Redis did not take wake-ups. */
  onRefused(): void;
}

export function createListQueue(options: ListQueueOptions): RunQueue {
  const { redis, list } = options;

  async function push(count: number): Promise<void> {
    try {
      for (let left = count; left > 0; left -= PUSH_MAX) {
        const length = await redis.lpush(list, ...sentinels(Math.min(left, PUSH_MAX)));
        if (length > LIST_LENGTH_MAX) await redis.ltrim(list, 0, LIST_LENGTH_MAX - 1);
      }
    } catch (error) {
      options.onTrouble('push to wake-up list', error);
      options.onRefused();
    }
  }

  return {
    wake(runs) {
      const now = runs.filter((run) => run.delayMs <= 0).length;
      if (now > 0) void push(now);
    },
    async repair(runs) {
      try {
        await options.scripts.run('list-fill', [list], [runs.length, LIST_LENGTH_MAX, SENTINEL]);
      } catch (error) {
        options.onTrouble('fill wake-up list', error);
        options.onRefused();
      }
    },
    depth: () => redis.llen(list).catch(() => undefined),
    stop: () => Promise.resolve(),
  };
}

const sentinels = (count: number): string[] => new Array<string>(count).fill(SENTINEL);

export interface ListConsumerOptions {
  /** For short commands. */
  readonly commands: Redis;
  /** Makes a connection of this consumer's own: BRPOP blocks it. */
  connect(): Redis;
  readonly list: string;
  readonly concurrency: number;
  onTrouble(what: string, error: unknown): void;
  /** An element that is no wake-up of ours and no task of the documented kind; it wakes all the same. */
  onGarbage(shown: string): void;
}

export function createListConsumer(options: ListConsumerOptions, handler: RunHandler): RunConsumer {
  const { commands, list } = options;
  let redis: Redis | undefined;
  let connectionId: number | undefined;
  let loop: Promise<void> | undefined;
  const pause = new AbortController();
  const pausing = (): boolean => pause.signal.aborted;
  const inHand = new Set<Promise<void>>();

  async function take(): Promise<void> {
    // The worker's answer to false is another's wake-up: it goes back to the end where it would be popped next.
    if (!(await handler(undefined))) await giveBack();
  }
  const giveBack = (): Promise<unknown> =>
    commands.rpush(list, SENTINEL).catch((error: unknown) => {
      options.onTrouble('give back a wake-up', error);
    });

  async function run(connection: Redis): Promise<void> {
    while (!pausing()) {
      try {
        while (!pausing()) {
          // Of this very connection: after a restart of Redis the old number is somebody else's.
          connectionId ??= await connection.client('ID');
          if (inHand.size >= options.concurrency) {
            await Promise.race(inHand);
            continue;
          }
          const popped = await connection.brpop(list, BLOCK_SECS);
          if (popped === null) continue;
          if (!isWakeUp(popped[1])) options.onGarbage(popped[1].slice(0, SHOWN_LENGTH_MAX));
          if (pausing()) {
            await giveBack();
            return;
          }
          const taken: Promise<void> = take().finally(() => inHand.delete(taken));
          inHand.add(taken);
        }
      } catch (error) {
        if (pausing()) return;
        options.onTrouble('wake-up list', error);
        await delay(RETRY_MS, undefined, { ref: false });
      }
    }
  }

  return {
    start() {
      if (loop !== undefined) return Promise.resolve();
      redis = options.connect();
      redis.on('close', () => (connectionId = undefined));
      loop = run(redis);
      return Promise.resolve();
    },
    async pause() {
      if (pausing()) return;
      pause.abort();
      // Ends the blocking pop without losing what it would have got.
      if (connectionId === undefined) redis?.disconnect();
      else await commands.client('UNBLOCK', connectionId).catch(() => redis?.disconnect());
      if (inHand.size < options.concurrency)
        await Promise.race([loop, delay(STOP_LIMIT_MS, undefined, { ref: false })]);
    },
    async stop() {
      pause.abort();
      await Promise.race([Promise.all(inHand), delay(STOP_LIMIT_MS, undefined, { ref: false })]);
      redis?.disconnect();
      redis = undefined;
      loop = undefined;
    },
  };
}

/** A sentinel, or a task as the second document has it: JSON with a run id. Either way Postgres says which run is next. */
function isWakeUp(element: string): boolean {
  if (element === SENTINEL) return true;
  if (element.length > 1_000_000) return false;
  try {
    const task: unknown = JSON.parse(element);
    return typeof task === 'object' && task !== null && 'run_id' in task;
  } catch {
    return false;
  }
}
