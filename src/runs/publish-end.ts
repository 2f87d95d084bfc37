/**
 * After the terminal transaction: tell the readers, drop the log in Redis, wake the thread's next run. All hints.
 * The readers are told by Redis, or by NOTIFY when that did not work: both would wake every process twice. A server
 * that alone has lost Redis finds the end by its look at the rows (events/ends.ts), within a second.
 */
import type { LogBackend, LogOwner } from '../events/backend.ts';
import type { LogEvent } from '../events/event.ts';
import type { LiveTeller } from '../events/live.ts';
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
  /** Only in the strict mode. */
  readonly live: LiveTeller | undefined;
  /** Documented per-run channel, or '' for none. */
  contractChannel(runId: string): string;
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
  const tellByNotify = (): void => {
    // A signal is a hint: what it says is read from the row.
    deps.signals.publish('ended', JSON.stringify({ ...end, outcome: undefined }));
  };
  if (deps.scripts !== undefined && deps.redisLog?.available() === true)
    closeLog(
      {
        keys: deps.keys,
        scripts: deps.scripts,
        contractChannel: (runId) => deps.contractChannel(runId),
      },
      owner,
      end,
      unsent.first,
      unsent.events,
    ).then(
      (told) => {
        if (!told) tellByNotify();
      },
      (error: unknown) => {
        deps.onTrouble('close log', error);
        tellByNotify();
      },
    );
  else {
    if (deps.live !== undefined)
      void deps.live.tell(owner, unsent.first, unsent.events, end.status).then((told) => {
        if (!told && unsent.events.length > 0) deps.signals.publish('log', end.threadId);
      });
    // Readers of the whole thread wait for events, not for this run's end.
    else if (unsent.events.length > 0) deps.signals.publish('log', end.threadId);
    tellByNotify();
  }
  if (next !== undefined) deps.queue.wake([next]);
}
