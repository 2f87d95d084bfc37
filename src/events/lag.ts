/**
 * How far the archive is behind: from the marks of logs with events that only Redis has. A look at the oldest
 * marks, bounded, because it is asked for at every scrape.
 */
import type { Redis } from '../redis/connect.ts';
import type { Keys } from '../redis/keys.ts';

/** Marks looked at per shard; with more than that the number of events is a lower bound. */
const MARKS_MAX = 200;

export interface ArchiveLag {
  /** Seconds since the oldest log with unarchived events was marked; 0 when there is none. */
  readonly seconds: number;
  /** Events that are not archived, in the logs looked at. */
  readonly events: number;
}

/** @throws when Redis does not answer */
export async function readArchiveLag(redis: Redis, keys: Keys): Promise<ArchiveLag> {
  const [seconds = 0] = (await redis.time()).map(Number);
  let oldest = seconds;
  const threadIds = new Set<string>();
  for (const stream of keys.dirtyStreams()) {
    const marks = await redis.xrange(stream, '-', '+', 'COUNT', MARKS_MAX);
    for (const [id, fields] of marks) {
      oldest = Math.min(oldest, Number(id.split('-')[0]) / 1_000);
      threadIds.add(fields[1] ?? '');
    }
  }
  const heads = await Promise.all(
    [...threadIds].map((threadId) => redis.hmget(keys.log(threadId).meta, 'l', 'p')),
  );
  const events = heads.reduce(
    (sum, [last, archived]) => sum + Math.max(Number(last ?? 0) - Number(archived ?? 0), 0),
    0,
  );
  return { seconds: Math.max(seconds - oldest, 0), events };
}
