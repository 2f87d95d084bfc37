/**
 * Connections to Redis. Three kinds, because they must fail differently: commands fail fast (the direct
 * path takes over), a blocking reader waits as long as it takes, a subscriber must come up under load.
 */
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';

/** A command that has no answer after this long counts as failed; its writer asks again or goes the direct way. */
const COMMAND_TIMEOUT_MS = 2_000;
const RECONNECT_DELAY_MAX_MS = 500;
/** A connection that blocks in Redis does not see its end at once; it need not hold up a stop. */
const DISCONNECT_TIMEOUT_MS = 100;

export type { Redis };

export interface RedisConnectOptions {
  url: string;
  /** Shown by CLIENT LIST. */
  name: string;
}

const retryStrategy = (times: number): number => Math.min(20 * 2 ** times, RECONNECT_DELAY_MAX_MS);

/** For scripts and short commands. Nothing is queued while the connection is down. */
export function connectCommands(
  options: RedisConnectOptions,
  onError: (error: Error) => void,
): Redis {
  return listen(
    new Redis(options.url, {
      connectionName: options.name,
      commandTimeout: COMMAND_TIMEOUT_MS,
      // A server that hangs must not look ready: the next command would wait as long again.
      socketTimeout: COMMAND_TIMEOUT_MS,
      connectTimeout: COMMAND_TIMEOUT_MS,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      retryStrategy,
    } satisfies RedisOptions),
    onError,
  );
}

/** For BRPOP, XREADGROUP BLOCK and BullMQ's worker: waits through an outage. */
export function connectBlocking(
  options: RedisConnectOptions,
  onError: (error: Error) => void,
): Redis {
  return listen(
    new Redis(options.url, {
      connectionName: options.name,
      maxRetriesPerRequest: null,
      disconnectTimeout: DISCONNECT_TIMEOUT_MS,
      retryStrategy,
    } satisfies RedisOptions),
    onError,
  );
}

/** For SUBSCRIBE. No ready check: INFO is refused once subscribed, and concurrent first subscribers would tear it down. */
export function connectSubscriber(
  options: RedisConnectOptions,
  onError: (error: Error) => void,
): Redis {
  return listen(
    new Redis(options.url, {
      connectionName: options.name,
      enableReadyCheck: false,
      maxRetriesPerRequest: null,
      autoResubscribe: true,
      retryStrategy,
    } satisfies RedisOptions),
    onError,
  );
}

function listen(redis: Redis, onError: (error: Error) => void): Redis {
  redis.on('error', onError);
  return redis;
}

/** True once connected within `timeoutMs`; never throws. */
export async function isReachable(redis: Redis, timeoutMs: number): Promise<boolean> {
  if (redis.status === 'ready') return true;
  return new Promise((resolve) => {
    const done = (reachable: boolean) => (): void => {
      clearTimeout(timer);
      redis.off('ready', onReady);
      resolve(reachable);
    };
    const onReady = done(true);
    const timer = setTimeout(done(false), timeoutMs);
    redis.once('ready', onReady);
  });
}
