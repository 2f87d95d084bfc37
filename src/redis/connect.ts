/**
 * Connections to Redis. Three kinds, because they must fail differently: commands fail fast (the direct
 * path takes over), a blocking reader waits as long as it takes, a subscriber must come up under load.
 * Each of them leads to one server, to the master that sentinels name, or into a cluster (address.ts).
 */
import { Cluster, Redis as Single } from 'ioredis';
import type { ClusterOptions, RedisOptions } from 'ioredis';
import { parseRedisAddress } from './address.ts';
import type { RedisAddress, RedisNode } from './address.ts';

/** A command that has no answer after this long counts as failed; its writer asks again or goes the direct way. */
const COMMAND_TIMEOUT_MS = 2_000;
const RECONNECT_DELAY_MAX_MS = 500;
/** A connection that blocks in Redis does not see its end at once; it need not hold up a stop. */
const DISCONNECT_TIMEOUT_MS = 100;
/** How often a command follows a slot that moves, 100 ms apart, before it fails. */
const CLUSTER_REDIRECTIONS_MAX = 8;

export type Redis = Single | Cluster;

export interface RedisConnectOptions {
  url: string;
  /** Shown by CLIENT LIST. */
  name: string;
}

const retryStrategy = (times: number): number => Math.min(20 * 2 ** times, RECONNECT_DELAY_MAX_MS);

/** After a failover the old master is a replica that refuses writes: find the new one, and send again. */
const reconnectOnError = (error: Error): 2 | false =>
  error.message.startsWith('READONLY') ? 2 : false;

interface Settings {
  commandTimeout?: number;
  socketTimeout?: number;
  connectTimeout?: number;
  disconnectTimeout?: number;
  enableOfflineQueue?: boolean;
  enableReadyCheck?: boolean;
  maxRetriesPerRequest?: number | null;
  autoResubscribe?: boolean;
  connectionName?: string;
  /** Of the cluster's subscriber: SSUBSCRIBE, on the node that has the channel's slot. */
  shardedSubscribers?: boolean;
}

/** For scripts and short commands. Nothing is queued while the connection is down. */
export function connectCommands(
  options: RedisConnectOptions,
  onError: (error: Error) => void,
): Redis {
  return listen(
    open(options, {
      commandTimeout: COMMAND_TIMEOUT_MS,
      // A server that hangs must not look ready: the next command would wait as long again.
      socketTimeout: COMMAND_TIMEOUT_MS,
      connectTimeout: COMMAND_TIMEOUT_MS,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
    }),
    onError,
  );
}

/** For BRPOP, XREADGROUP BLOCK and BullMQ's worker: waits through an outage. */
export function connectBlocking(
  options: RedisConnectOptions,
  onError: (error: Error) => void,
): Redis {
  return listen(
    open(options, { maxRetriesPerRequest: null, disconnectTimeout: DISCONNECT_TIMEOUT_MS }),
    onError,
  );
}

/** For SUBSCRIBE. No ready check: INFO is refused once subscribed, and concurrent first subscribers would tear it down. */
export function connectSubscriber(
  options: RedisConnectOptions,
  onError: (error: Error) => void,
): Redis {
  return listen(
    open(options, {
      enableReadyCheck: false,
      maxRetriesPerRequest: null,
      autoResubscribe: true,
      shardedSubscribers: true,
    }),
    onError,
  );
}

export interface QueueConnection {
  readonly connection: Cluster | ReturnType<typeof sentinelOptions> | { readonly url: string };
  end(): void;
}

/**
 * For BullMQ, which opens connections of its own from settings, and of a cluster takes one that is open.
 * @param role producer: fails fast; worker: waits
 * @returns `end` closes what BullMQ leaves open
 */
export function queueConnection(url: string, role: 'producer' | 'worker'): QueueConnection {
  const settings: Settings =
    role === 'worker'
      ? { maxRetriesPerRequest: null }
      : { enableOfflineQueue: false, maxRetriesPerRequest: 0, commandTimeout: COMMAND_TIMEOUT_MS };
  const address = addressOf(url);
  if (address.kind === 'single') return { connection: { url, ...settings }, end: () => undefined };
  if (address.kind === 'sentinel')
    return {
      connection: { ...sentinelOptions(address), ...settings },
      end: () => undefined,
    };
  const cluster = openCluster(address, settings);
  // BullMQ listens, too; without a listener of ours an error between two of its own would end the process.
  cluster.on('error', () => undefined);
  return {
    connection: cluster,
    end: () => {
      cluster.disconnect();
    },
  };
}

function addressOf(url: string): RedisAddress {
  const address = parseRedisAddress(url);
  if (address === undefined) throw new Error('config.ts let a wrong REDIS_URL through');
  return address;
}

function open({ url, name }: RedisConnectOptions, settings: Settings): Redis {
  const address = addressOf(url);
  if (address.kind === 'cluster')
    return openCluster(address, { ...settings, connectionName: name });
  const { shardedSubscribers: _, ...plain } = settings;
  const given = { ...plain, connectionName: name, retryStrategy, reconnectOnError };
  return address.kind === 'single'
    ? new Single(address.url, given satisfies RedisOptions)
    : new Single({ ...sentinelOptions(address), ...given } satisfies RedisOptions);
}

// No return type: under exactOptionalPropertyTypes the wider one is no longer what it is made of.
function sentinelOptions(address: Extract<RedisAddress, { kind: 'sentinel' }>) {
  return {
    sentinels: address.sentinels.map(ownNode),
    name: address.master,
    db: address.db,
    ...credentials(address),
    ...(address.sentinelPassword === undefined
      ? {}
      : { sentinelPassword: address.sentinelPassword }),
    ...(address.tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
    sentinelRetryStrategy: retryStrategy,
    // No failoverDetector: in a failover it sometimes left a connection that was just connecting for dead.
    reconnectOnError,
  } satisfies RedisOptions;
}

function openCluster(
  address: Extract<RedisAddress, { kind: 'cluster' }>,
  settings: Settings,
): Cluster {
  const { enableOfflineQueue, enableReadyCheck, shardedSubscribers, ...ofNodes } = settings;
  return new Cluster(address.nodes.map(ownNode), {
    ...(enableOfflineQueue === undefined ? {} : { enableOfflineQueue }),
    ...(enableReadyCheck === undefined ? {} : { enableReadyCheck }),
    ...(shardedSubscribers === undefined ? {} : { shardedSubscribers }),
    clusterRetryStrategy: retryStrategy,
    clusterNodeRetryStrategy: retryStrategy,
    maxRedirections: CLUSTER_REDIRECTIONS_MAX,
    redisOptions: { ...ofNodes, ...credentials(address) },
  } satisfies ClusterOptions);
}

const ownNode = ({ host, port }: RedisNode): RedisNode => ({ host, port });

const credentials = (
  address: Exclude<RedisAddress, { kind: 'single' }>,
): { username?: string; password?: string; tls?: object } => ({
  ...(address.username === undefined ? {} : { username: address.username }),
  ...(address.password === undefined ? {} : { password: address.password }),
  ...(address.tls ? { tls: {} } : {}),
});

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

/** Every server that has keys of its own. */
export const mastersOf = (redis: Redis): readonly Single[] =>
  redis instanceof Cluster ? redis.nodes('master') : [redis];
