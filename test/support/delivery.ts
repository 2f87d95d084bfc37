/** How long events take from the log to a client, whatever the machine and the graph themselves take. */
import { createKeys } from '../../src/redis/keys.ts';
import type { Cluster } from './cluster.ts';
import type { SseClient } from './event-client.ts';
import { waitUntil } from './wait-until.ts';

export interface DeliveryWatch {
  /** Longest time from an event's being in the log to its arrival, of what was appended after the client had its first. */
  worstMs(client: SseClient): number;
  /** Longest time that this process did not get to look: on a busy machine the others do not fare better. */
  standstillMs(): number;
  stop(): Promise<void>;
}

/** Watches the log of a thread's first run, in Redis. */
export function watchDelivery(cluster: Cluster, threadId: string): DeliveryWatch {
  const { meta } = createKeys(cluster.keyPrefix).log(threadId);
  const script = `return tonumber(redis.call('HGET', KEYS[1], 'l') or 0)`;
  const appended: { at: number; last: number }[] = [];
  let lookedAt = performance.now();
  let standstillMs = 0;
  let over = false;
  const watching = waitUntil(
    async () => {
      const last = Number((await cluster.redis.command('EVAL', script, '1', meta)).slice(1));
      const at = performance.now();
      standstillMs = Math.max(standstillMs, at - lookedAt);
      lookedAt = at;
      if (last > (appended.at(-1)?.last ?? 0)) appended.push({ at, last });
      return over;
    },
    { timeoutMs: 120_000, what: 'the watch to be stopped' },
  );
  watching.catch(() => undefined);
  return {
    worstMs({ events, times }) {
      const from = times[0] ?? 0;
      const delays = events.map(({ id }, i) => {
        const seq = Number(id?.split('-')[0]) + 1;
        const known = appended.find(({ last }) => last >= seq);
        return known === undefined || known.at < from ? 0 : (times[i] ?? 0) - known.at;
      });
      return Math.max(...delays);
    },
    standstillMs: () => standstillMs,
    async stop() {
      over = true;
      await watching;
    },
  };
}
