/** The log without Redis: batches go to the archive at once, readers are woken by a signal, or told by Redis in the strict mode. */
import type { Db } from '../postgres/pool.ts';
import type { Signals } from '../postgres/signals.ts';
import { archiveOwnRows } from './archive.ts';
import type { LogBackend } from './backend.ts';
import type { LiveTeller } from './live.ts';

export interface DirectLogDeps {
  readonly db: Db;
  readonly signals: Signals;
  /** Only in the strict mode. */
  readonly live?: LiveTeller | undefined;
}

export function createDirectBackend(deps: DirectLogDeps): LogBackend {
  return {
    name: 'direct',
    available: () => true,
    async append(owner, first, events) {
      const { threadId, term } = owner;
      const rows = events.map((event, i) => ({
        threadId,
        term,
        seq: first + i,
        type: event.type,
        data: event.data,
      }));
      const archived = await archiveOwnRows(deps.db, threadId, term, rows);
      if (archived === undefined) return { status: 'FENCED', last: 0, archived: 0 };
      const last = first + rows.length - 1;
      if (archived >= last) {
        // In order: the next batch must not be told before this one.
        if (deps.live === undefined || !(await deps.live.tell(owner, first, events)))
          deps.signals.publish('log', threadId);
        // What a checkpoint has taken along meanwhile is there, but is still to be told. A signal tells of all.
        const told = deps.live === undefined ? archived : last;
        return { status: 'OK', last: told, archived: told };
      }
      return { status: 'GAP', last: archived, archived };
    },
    // Postgres cannot go back in time: there is nothing to repair.
    reopen: (_owner, archived) => Promise.resolve(archived),
  };
}
