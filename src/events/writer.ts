/**
 * The only writer of a thread's log while its term lasts.
 *
 * Batching is natural: one append is under way, what is emitted meanwhile goes with the next. No timer,
 * so a quiet run has no added latency and a busy one has large batches. Only the first append of a term
 * waits a moment: a run that ends sooner leaves all of its events to its end, and costs no append,
 * no mark and no turn of the archiver.
 * Every event stays in memory until Postgres has it, so whatever Redis loses is sent again.
 *
 *   redis ──(connection lost, backpressure too long)──▶ direct
 *   direct ──(Redis answers again: reopen)────────────▶ redis
 *   either ──(a newer term)──▶ fenced      either ──(finish)──▶ finished
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../errors.ts';
import { createDeferred } from '../lib/deferred.ts';
import type { Deferred } from '../lib/deferred.ts';
import type { Db } from '../postgres/pool.ts';
import { archiveOwnRows } from './archive.ts';
import type { ArchiveRow } from './archive.ts';
import { checkEvent } from './event.ts';
import type { LogEvent } from './event.ts';
import type { AppendReply, LogBackend, LogOwner } from './backend.ts';

/** Events and characters of one append, and of what one checkpoint's statement takes along. */
const BATCH_EVENTS_MAX = 1_000;
const BATCH_LENGTH_MAX = 512 * 1024;
/** How long the first append waits for the end of a short run; what it may add to a client's first event. */
const FIRST_APPEND_MS = 5;
/** Characters kept in memory for events that Postgres does not have; at the limit the graph waits. */
export const BUFFER_LENGTH_MAX = 16 * 1024 * 1024;
/** The same as a number of events, because each has its own cost. */
export const BUFFER_EVENTS_MAX = 50_000;
/** How long a writer waits before it asks again for the watermark. */
const BACKPRESSURE_RETRY_MS = 20;
/** Backpressure for longer than this: the archiver is not keeping up, so the writer archives itself. */
const BACKPRESSURE_DIRECT_MS = 2_000;
/** How long after the last append a writer looks whether the archive has it, and so whether Redis still does. */
const ARCHIVED_CHECK_MS = 1_000;
/** Both stores away: how often the writer tries. It gives up never; the run's timeout does. */
const RETRY_DELAY_MS = { first: 50, max: 1_000 };
/** On the direct path, after how long the writer tries Redis again; doubled each time that it fails at once. */
const RETURN_MS = { first: 500, max: 8_000 };

/** A newer term owns the thread: this worker must stop and write nothing more. */
export class LogFencedError extends AppError {
  readonly code = 'log_fenced';
}

export interface LogWriterDeps {
  readonly db: Db;
  /** undefined: no Redis is configured. */
  readonly redis: LogBackend | undefined;
  readonly direct: LogBackend;
  onFenced(): void;
  /** Redis has a note that this run should be cancelled: look whether it is true. */
  onCancelled(): void;
  /** Something went wrong that the writer survives. */
  onTrouble(what: string, error: unknown): void;
}

/** What the archive does not have yet when the graph has ended. */
export interface LogRest {
  /** In order; `first` is the seq of events[0]. */
  first: number;
  events: LogEvent[];
  /** Of these, the last ones were never appended: from this seq on. */
  unsentFirst: number;
  /** Last seq given out. */
  last: number;
}

/** What the archive may not have yet, or a part of it from the beginning: see checkpoints/events-before.ts. */
export interface Unarchived {
  readonly rows: readonly ArchiveRow[];
  /** Seq of the last row; without rows, up to which the archive has been told all. */
  readonly last: number;
  /** Last seq given out. */
  readonly emitted: number;
}

export interface LogWriter {
  /** @returns the event's seq @throws {EventInvalidError} */
  emit(type: string, data: string): number;
  /** undefined while there is room. @throws {LogFencedError} */
  drained(): Promise<void> | undefined;
  /** Stops appending and hands out the rest, for the terminal transaction. Idempotent. */
  finish(): LogRest;
  /** For a write that must not get ahead of the log. undefined: the archive has all, for good. */
  unarchived(): Unarchived | undefined;
  /**
   * The archive has all up to `seq`, perhaps not on its disk: not to be handed out by `unarchived` again. They stay in memory and
   * are appended all the same, because readers have to be told and Postgres may lose them again.
   */
  taken(seq: number): void;
  /** The archive came back without what it had taken. */
  lost(): void;
}

export function createLogWriter(deps: LogWriterDeps, owner: LogOwner): LogWriter {
  /** Events from seq `head` on: those that Postgres may not have. */
  let buffer: LogEvent[] = [];
  let head = owner.start;
  /** buffer[skip] is seq `head`: pruning moves skip and copies now and then, not at every batch. */
  let skip = 0;
  let length = 0;
  let sent = owner.start - 1;
  /** Up to here checkpoints have taken them to Postgres, without waiting for its disk. */
  let stored = owner.start - 1;
  let mode: LogBackend = deps.redis?.available() === true ? deps.redis : deps.direct;
  let pumping = false;
  let finished = false;
  /** What comes later, from a graph that was left behind, belongs to no run. */
  let lastOfRun = Infinity;
  let fenced = false;
  let room: Deferred<void> | undefined;
  let returnAt = 0;
  let returnMs = RETURN_MS.first;
  let pressedSince: number | undefined;
  let check: NodeJS.Timeout | undefined;

  const last = (): number => head + buffer.length - skip - 1;
  const full = (): boolean =>
    length > BUFFER_LENGTH_MAX || buffer.length - skip > BUFFER_EVENTS_MAX;

  function prune(archived: number): void {
    while (head <= archived && skip < buffer.length) {
      const event = buffer[skip];
      length -= (event?.data.length ?? 0) + (event?.type.length ?? 0);
      skip++;
      head++;
    }
    if (skip > 1_024 && skip * 2 > buffer.length) {
      buffer = buffer.slice(skip);
      skip = 0;
    }
    if (room !== undefined && !full()) {
      room.resolve();
      room = undefined;
      pressedSince = undefined;
    }
  }

  const nextBatch = (): LogEvent[] => batchFrom(mode.name === 'direct' ? head : sent + 1);

  function batchFrom(first: number): LogEvent[] {
    const from = first - head + skip;
    const events: LogEvent[] = [];
    let size = 0;
    for (let i = from; i < buffer.length && events.length < BATCH_EVENTS_MAX; i++) {
      const event = buffer[i];
      if (event === undefined) break;
      size += event.data.length + event.type.length;
      if (events.length > 0 && size > BATCH_LENGTH_MAX) break;
      events.push(event);
    }
    return events;
  }

  function fence(): void {
    fenced = true;
    room?.reject(new LogFencedError(`run ${owner.runId}: term ${owner.term} is fenced`));
    // Nobody may be waiting; that is no unhandled rejection.
    room?.promise.catch(() => undefined);
    room = undefined;
    deps.onFenced();
  }

  /** Brings writer and log together again from what Postgres says. */
  async function resync(backend: LogBackend): Promise<boolean> {
    // With the disk: a checkpoint may have taken events along without, and what is forgotten here must not vanish there.
    const archived = await archiveOwnRows(deps.db, owner.threadId, owner.term, []);
    if (archived === undefined) {
      fence();
      return false;
    }
    prune(archived);
    if (archived < head - 1) {
      // Postgres has lost what it had told to have (a failover to a standby that was behind): these events are no
      // longer here. The next attempt begins where the archive ends.
      deps.onTrouble('resync', new Error(`archived up to ${archived}, was ${head - 1}`));
      fence();
      return false;
    }
    const lastValid = await backend.reopen(owner, archived);
    if (lastValid === undefined) {
      fence();
      return false;
    }
    sent = Math.max(lastValid, head - 1);
    mode = backend;
    return true;
  }

  /** Back to Redis from the direct path. @returns false when fenced */
  async function returnTo(redis: LogBackend): Promise<boolean> {
    try {
      return await resync(redis);
    } catch (error) {
      deps.onTrouble('return to redis', error);
      goDirect();
      return true;
    }
  }

  async function take(reply: AppendReply): Promise<void> {
    if (reply.status !== 'BACKPRESSURE' && room === undefined) pressedSince = undefined;
    switch (reply.status) {
      case 'OK':
      case 'DUP':
        if (mode.name === 'redis') returnMs = RETURN_MS.first;
        sent = Math.max(reply.last, head - 1);
        prune(reply.archived);
        return;
      case 'GAP':
        prune(reply.archived);
        if (mode.name === 'redis' && reply.last + 1 >= head) {
          sent = reply.last;
          return;
        }
        await resync(mode);
        await delay(BACKPRESSURE_RETRY_MS);
        return;
      case 'REOPEN':
        await resync(mode);
        return;
      case 'CANCELLED':
        prune(reply.archived);
        // A hint, perhaps a wrong one: until Postgres has confirmed it, the events go there.
        deps.onCancelled();
        goDirect();
        return;
      case 'BACKPRESSURE':
        prune(reply.archived);
        await hold();
        return;
      case 'FENCED':
      case 'CLOSED':
        fence();
    }
  }

  /** For the archiver to make room. It may be stuck: past a limit the writer archives its own events. */
  async function hold(): Promise<void> {
    pressedSince ??= performance.now();
    if (performance.now() - pressedSince > BACKPRESSURE_DIRECT_MS) goDirect();
    else await delay(BACKPRESSURE_RETRY_MS);
  }

  function goDirect(): void {
    mode = deps.direct;
    returnAt = performance.now() + returnMs;
    returnMs = Math.min(returnMs * 2, RETURN_MS.max);
  }

  /** @param ask for the watermark, although there is nothing to send */
  async function pump(ask = false): Promise<void> {
    if (pumping) return;
    pumping = true;
    clearTimeout(check);
    // Events emitted in the same tick go together.
    await (sent < owner.start ? delay(FIRST_APPEND_MS) : Promise.resolve());
    let retryMs = RETRY_DELAY_MS.first;
    while (!finished && !fenced) {
      const idle = mode.name === 'direct' ? head > last() : sent >= last();
      // With the buffer full and all of it sent, the watermark is what is missing: an empty append asks for it.
      if (idle && room === undefined && !ask) break;
      if (idle && room !== undefined) await hold();
      ask = false;
      try {
        if (
          mode.name === 'direct' &&
          deps.redis?.available() === true &&
          performance.now() >= returnAt
        ) {
          if (!(await returnTo(deps.redis))) break;
        }
        // What is emitted after the end belongs to no run.
        if (finished as boolean) break;
        const events = nextBatch();
        const first = mode.name === 'direct' ? head : sent + 1;
        await take(await mode.append(owner, first, events));
        retryMs = RETRY_DELAY_MS.first;
      } catch (error) {
        deps.onTrouble(`append to ${mode.name}`, error);
        if (mode.name === 'redis') {
          goDirect();
        } else {
          await delay(retryMs);
          retryMs = Math.min(retryMs * 2, RETRY_DELAY_MS.max);
        }
      }
    }
    pumping = false;
    if (!finished && !fenced && head <= last())
      check = setTimeout(() => void pump(true), ARCHIVED_CHECK_MS).unref();
  }

  return {
    emit(type, data) {
      const event = { type, data };
      checkEvent(event);
      buffer.push(event);
      length += type.length + data.length;
      if (!pumping && !finished && !fenced) void pump();
      return last();
    },
    drained() {
      if (fenced) throw new LogFencedError(`run ${owner.runId}: term ${owner.term} is fenced`);
      if (!full()) return undefined;
      room ??= createDeferred();
      void pump();
      return room.promise;
    },
    unarchived() {
      const { threadId, term } = owner;
      const emitted = Math.min(last(), lastOfRun);
      if (head > emitted) return undefined;
      const first = Math.max(head, stored + 1);
      const rows = batchFrom(first)
        .slice(0, Math.max(emitted - first + 1, 0))
        .map((event, i) => ({ threadId, term, seq: first + i, ...event }));
      return { rows, last: first + rows.length - 1, emitted };
    },
    taken(seq) {
      stored = Math.max(stored, seq);
    },
    lost() {
      stored = head - 1;
    },
    finish() {
      finished = true;
      clearTimeout(check);
      lastOfRun = Math.min(lastOfRun, last());
      room?.resolve();
      room = undefined;
      const unsentFirst = Math.max(sent + 1, head);
      return {
        first: head,
        events: buffer.slice(skip),
        unsentFirst: mode.name === 'direct' ? head : unsentFirst,
        last: last(),
      };
    },
  };
}
