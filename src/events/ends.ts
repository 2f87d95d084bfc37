/**
 * Who waits for a run to end is told here: by a message from Redis, by a NOTIFY, or, when both were
 * lost, by a look at the rows once in a while. One look serves all waiters of the process.
 */
import { z } from 'zod';
import type { Service } from '../lib/service.ts';
import { isGuid } from '../ids.ts';
import { createDeferred } from '../lib/deferred.ts';
import type { Db } from '../postgres/pool.ts';
import type { Signals } from '../postgres/signals.ts';
import type { LogEnd } from './redis-backend.ts';

/** Longest time that a lost message can hide an end. */
const LOOK_INTERVAL_MS = 1_000;

const EndMessage = z.object({
  threadId: z.guid(),
  runId: z.guid(),
  status: z.string(),
  lastSeq: z.int().nonnegative(),
  term: z.int().nonnegative(),
  outcome: z
    .object({
      error: z.object({ error: z.string(), message: z.string() }).nullable(),
      output: z.string().nullable(),
    })
    .optional(),
});
/** Where a message, as JSON.stringify writes a LogEnd, names its run. */
const RUN_ID = /^\{"threadId":"[^"]*","runId":"([^"]*)"/;

/** Status of a run that is gone: rolled back, or deleted with its thread. */
export const DELETED = 'deleted';

export interface RunEnds extends Service {
  /** Calls `listener` once when the run has ended; it may have ended already. @returns stops listening */
  on(runId: string, listener: (end: LogEnd) => void): () => void;
  /** Settles when the run has ended; never rejects but by `signal`. */
  wait(runId: string, signal?: AbortSignal): Promise<LogEnd>;
  /** A message from the ends channel. */
  receive(message: string): void;
}

export interface RunEndsDeps {
  readonly db: Db;
  readonly signals: Signals;
  onTrouble(what: string, error: unknown): void;
}

export function createRunEnds(deps: RunEndsDeps): RunEnds {
  const listeners = new Map<string, Set<(end: LogEnd) => void>>();
  let timer: NodeJS.Timeout | undefined;
  let looking = false;
  let lookAgain = false;

  function tell(end: LogEnd): void {
    const waiting = listeners.get(end.runId);
    if (waiting === undefined) return;
    listeners.delete(end.runId);
    for (const listener of waiting) listener(end);
  }

  async function look(): Promise<void> {
    if (looking) {
      lookAgain = true;
      return;
    }
    looking = true;
    do {
      lookAgain = false;
      const ids = [...listeners.keys()];
      if (ids.length === 0) break;
      try {
        const { rows } = await deps.db.query<{
          run_id: string;
          thread_id: string;
          status: string;
          last_seq: number | null;
          term: number | null;
        }>({
          name: 'run-ends',
          text: 'SELECT run_id, thread_id, status, last_seq, term FROM runs WHERE run_id = ANY($1)',
          values: [ids],
        });
        const missing = new Set(ids);
        for (const row of rows) {
          missing.delete(row.run_id);
          if (row.status !== 'pending' && row.status !== 'running')
            tell({
              threadId: row.thread_id,
              runId: row.run_id,
              status: row.status,
              lastSeq: row.last_seq ?? 0,
              term: row.term ?? 0,
            });
        }
        for (const runId of missing)
          tell({ threadId: '', runId, status: DELETED, lastSeq: 0, term: 0 });
      } catch (error) {
        deps.onTrouble('look for ended runs', error);
      }
    } while (lookAgain as boolean);
    looking = false;
  }

  function receive(message: string): void {
    // Every server hears of every run: most of them are not waited for here, and need not be parsed.
    const runId = RUN_ID.exec(message)?.[1];
    if (runId !== undefined && isGuid(runId) && !listeners.has(runId)) return;
    let parsed: unknown;
    try {
      parsed = JSON.parse(message);
    } catch {
      parsed = undefined;
    }
    const end = EndMessage.safeParse(parsed);
    if (end.success) tell(end.data);
    else deps.onTrouble('message of an end', end.error);
  }

  deps.signals.on('ended', receive);
  deps.signals.onGap(() => void look());

  const ends: RunEnds = {
    on(runId, listener) {
      const waiting = listeners.get(runId) ?? new Set();
      waiting.add(listener);
      listeners.set(runId, waiting);
      return () => {
        waiting.delete(listener);
        if (waiting.size === 0 && listeners.get(runId) === waiting) listeners.delete(runId);
      };
    },
    wait(runId, signal) {
      const ended = createDeferred<LogEnd>();
      const stop = ends.on(runId, ended.resolve);
      const onAbort = (): void => {
        stop();
        ended.reject(signal?.reason);
      };
      if (signal?.aborted === true) onAbort();
      signal?.addEventListener('abort', onAbort, { once: true });
      return ended.promise.finally(() => signal?.removeEventListener('abort', onAbort));
    },
    receive,
    start() {
      timer ??= setInterval(() => void look(), LOOK_INTERVAL_MS);
      return Promise.resolve();
    },
    stop() {
      clearInterval(timer);
      timer = undefined;
      return Promise.resolve();
    },
  };
  return ends;
}
