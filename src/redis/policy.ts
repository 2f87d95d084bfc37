/** A Redis that evicts would drop queue jobs and unarchived events at will: it is refused at start. */
import { AppError } from '../errors.ts';
import type { Redis } from './connect.ts';

export class RedisMisconfiguredError extends AppError {
  readonly code = 'redis_misconfigured';
}

/** Redis did not answer at start, in a deployment that is not to begin without it. */
export class RedisUnavailableError extends AppError {
  readonly code = 'redis_unavailable';
  override readonly retryable = true;
}

/** From INFO, which managed services allow where they forbid CONFIG. */
export async function evictionPolicy(redis: Redis): Promise<string | undefined> {
  return /^maxmemory_policy:(\S+)/m.exec(await redis.info('memory'))?.[1];
}

/** @throws {RedisMisconfiguredError} naming the setting */
export async function refuseEviction(redis: Redis): Promise<void> {
  const policy = await evictionPolicy(redis);
  if (policy !== undefined && policy !== 'noeviction')
    throw new RedisMisconfiguredError(
      `Redis has maxmemory-policy ${policy}, expected noeviction: it would evict queued jobs and events. Set "maxmemory-policy noeviction" in redis.conf, or CONFIG SET maxmemory-policy noeviction`,
    );
}
