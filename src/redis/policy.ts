/** A Redis that evicts would drop queue jobs and unarchived events at will: it is refused at start. */
import { AppError } from '../errors.ts';
import { mastersOf } from './connect.ts';
import type { Redis } from './connect.ts';

export class RedisMisconfiguredError extends AppError {
  readonly code = 'redis_misconfigured';
}

/** Redis did not answer at start, in a deployment that is not to begin without it. */
export class RedisUnavailableError extends AppError {
  readonly code = 'redis_unavailable';
  override readonly retryable = true;
}

/** From INFO, which managed services allow where they forbid CONFIG. Of a cluster the first that evicts. */
async function evictionPolicy(redis: Redis): Promise<string | undefined> {
  const policies = await Promise.all(
    mastersOf(redis).map(
      async (node) => /^maxmemory_policy:(\S+)/m.exec(await node.info('memory'))?.[1],
    ),
  );
  return policies.find((policy) => policy !== 'noeviction') ?? policies[0];
}

/** @throws {RedisMisconfiguredError} naming the setting */
export async function refuseEviction(redis: Redis): Promise<void> {
  const policy = await evictionPolicy(redis);
  if (policy !== undefined && policy !== 'noeviction')
    throw new RedisMisconfiguredError(
      `Redis has maxmemory-policy ${policy}, expected noeviction: it would evict queued jobs and events. Set "maxmemory-policy noeviction" in redis.conf, or CONFIG SET maxmemory-policy noeviction`,
    );
}
