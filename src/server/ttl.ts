/** How long a thread lives after it was last used, as clients give and read it. */
import type { ThreadRow } from '../threads/thread.ts';

const MINUTE_MS = 60_000;

/** @returns minutes; undefined: left as it is */
export const minutesOf = (ttl: number | { ttl: number } | null | undefined): number | undefined =>
  ttl == null ? undefined : typeof ttl === 'number' ? ttl : ttl.ttl;

export function ttlView({ ttl_minutes: minutes, updated_at: usedAt }: ThreadRow): object | null {
  if (minutes === null) return null;
  return {
    strategy: 'delete',
    ttl_minutes: minutes,
    expires_at: new Date(usedAt.getTime() + minutes * MINUTE_MS),
  };
}
