/**
 * The strict mode's voice: no event is stored in Redis, the direct path writes them to Postgres, and this tells
 * the readers, and the documented channel, as soon as they are there. What is lost here is read from Postgres.
 */
import type { Redis } from '../redis/connect.ts';
import type { Keys } from '../redis/keys.ts';
import type { Scripts } from '../redis/scripts.ts';
import type { LogOwner } from './backend.ts';
import { encodeLiveHeader, encodePayload } from './event.ts';
import type { LogEvent } from './event.ts';

export interface LiveTeller {
  /** @returns false when Redis did not take it: signal it another way. Never rejects. */
  tell(
    owner: LogOwner,
    first: number,
    events: readonly LogEvent[],
    status?: string,
  ): Promise<boolean>;
}

export interface LiveTellerDeps {
  readonly redis: Redis;
  readonly keys: Keys;
  readonly scripts: Scripts;
  contractChannel(runId: string): string;
  onTrouble(what: string, error: unknown): void;
}

export function createLiveTeller(deps: LiveTellerDeps): LiveTeller {
  /** Last seq told of a term: an append that is under way when the run ends is part of the end as well. */
  const told = new WeakMap<LogOwner, number>();
  return {
    async tell(owner, from, given, status) {
      if (deps.redis.status !== 'ready') return false;
      const skip = Math.max(0, (told.get(owner) ?? 0) + 1 - from);
      const first = from + skip;
      const events = given.slice(skip);
      if (events.length === 0 && status === undefined) return true;
      told.set(owner, Math.max(told.get(owner) ?? 0, first + events.length - 1));
      const log = deps.keys.log(owner.threadId);
      try {
        await deps.scripts.run(
          'log-tell',
          [log.meta],
          [
            log.live,
            liveMessage(owner, first, events),
            deps.contractChannel(owner.runId),
            first - owner.runFirst,
            status === undefined ? '' : contractEnd(status),
          ],
        );
        return true;
      } catch (error) {
        deps.onTrouble('tell of events', error);
        return false;
      }
    },
  };
}

/** '' when there are none. */
export const liveMessage = (owner: LogOwner, first: number, events: readonly LogEvent[]): string =>
  events.length === 0
    ? ''
    : [encodeLiveHeader({ ...owner, first }), ...events.map(encodePayload)].join('\n');

/** Last message of a run's documented channel: who listens may unsubscribe. */
export const contractEnd = (status: string): string =>
  JSON.stringify({ event: 'end', data: { status } });
