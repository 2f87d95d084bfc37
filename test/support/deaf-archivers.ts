/**
 * Lets the archivers hear nothing more of a thread's log: its events stay in Redis and in the worker's memory, while other
 * statements reach the thread's row as ever (archive-hold.ts stops those, too). The events must be so far apart that a busy machine
 * archives one before the next: 150 ms and more.
 */
import type { Cluster } from './cluster.ts';
import { waitUntil } from './wait-until.ts';

/** With no mark under way, a note that one is: appends then set none. */
const DEAFEN = `
  if redis.call('XLEN', KEYS[2]) > 0 or redis.call('HGET', KEYS[1], 'm') then return 0 end
  redis.call('HSET', KEYS[1], 'm', '1')
  return 1`;

export async function deafenArchivers(cluster: Cluster, threadId: string): Promise<void> {
  const meta = `${cluster.keyPrefix}:{0}:log:${threadId}:meta`;
  const dirty = `${cluster.keyPrefix}:{0}:dirty`;
  await waitUntil(
    async () => (await cluster.redis.command('EVAL', DEAFEN, '2', meta, dirty)) === ':1',
    { timeoutMs: 30_000, what: 'a moment without a mark' },
  );
}
