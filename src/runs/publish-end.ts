/** After the terminal transaction: tell the readers, drop the log in Redis, wake the thread's next run. All hints. */
import type { LogBackend, LogOwner } from '../events/backend.ts';
import type { LogEvent } from '../events/event.ts';
import { closeLog } from '../events/redis-backend.ts';
import type { LogEnd } from '../events/redis-backend.ts';
import type { Signals } from '../postgres/signals.ts';
import type { RunQueue } from '../queue/port.ts';
import type { Keys } from '../redis/keys.ts';
import type { Scripts } from '../redis/scripts.ts';
import type { NextRun } from './finish.ts';

export interface PublishEndDeps {
  readonly keys: Keys;
  /** undefined: no Redis is configured. */
  readonly scripts: Scripts | undefined;
  readonly redisLog: LogBackend | undefined;
  readonly signals: Signals;
  readonly queue: RunQueue;
  onTrouble(what: string, error: unknown): void;
}

/** @param unsent events of the run that never were in Redis: they go out with the end */
export function publishEnd(
  deps: PublishEndDeps,
  owner: LogOwner,
  end: LogEnd,
  next: NextRun | undefined,
  unsent: { first: number; events: readonly LogEvent[] },
): void {
  if (deps.scripts !== undefined && deps.redisLog?.available() === true)
    closeLog(
      { keys: deps.keys, scripts: deps.scripts },
      owner,
      end,
      unsent.first,
      unsent.events,
    ).catch((error: unknown) => {
      deps.onTrouble('close log', error);
    });
  // Readers of the whole thread wait for events, not for this run's end.
  else if (unsent.events.length > 0) deps.signals.publish('log', end.threadId);
  deps.signals.publish('ended', JSON.stringify(end));
  if (next !== undefined) deps.queue.wake([next]);
}
