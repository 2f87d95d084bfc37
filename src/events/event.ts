/**
 * An event as it travels: its type and its data as JSON text, encoded once by the worker and never
 * parsed again on the way to the socket. In Redis and in live messages an event is `type TAB data`;
 * neither part can contain a raw tab or newline.
 */
import { EventInvalidError } from '../lib/event-invalid.ts';

/** Largest data of one event, in UTF-16 units. Anything bigger belongs in the store, with a reference here. */
export const EVENT_LENGTH_MAX = 8 * 1024 * 1024;
const TYPE_LENGTH_MAX = 1_024;

/** Control characters would break frames and payloads; Postgres refuses lone surrogates, with the whole batch they are in. */
const UNFIT = /[\u0000-\u001f\u007f\u2028\u2029]|\p{Surrogate}/u;

export interface LogEvent {
  /** SSE event name, e.g. `values` or `updates|sub:1`. */
  readonly type: string;
  /** JSON text without a raw newline. */
  readonly data: string;
}

/** A place in a thread's log. */
export interface Position {
  readonly seq: number;
  readonly term: number;
}

/** Consecutive events of one term, as appended or as read. `first` is the seq of `events[0]`. */
export interface LogBatch {
  readonly threadId: string;
  readonly term: number;
  readonly first: number;
  readonly events: readonly LogEvent[];
}

/** A batch that has just been appended: it also tells whose it is. */
export interface LiveBatch extends LogBatch {
  readonly runId: string;
  readonly attempt: number;
  /** The run's first seq: event n of the run has seq runFirst + n. */
  readonly runFirst: number;
}

/** @throws {EventInvalidError} */
export function checkEvent(event: LogEvent): void {
  if (event.type === '' || event.type.length > TYPE_LENGTH_MAX || UNFIT.test(event.type))
    throw new EventInvalidError(
      `event name ${JSON.stringify(event.type.slice(0, 80))}: expected 1 to ${TYPE_LENGTH_MAX} characters, none of them a control character or a lone surrogate`,
    );
  if (event.data.length > EVENT_LENGTH_MAX)
    throw new EventInvalidError(
      `event ${event.type}: data of ${event.data.length} characters, expected at most ${EVENT_LENGTH_MAX}`,
    );
}

export const encodePayload = (event: LogEvent): string => `${event.type}\t${event.data}`;

export function decodePayload(payload: string): LogEvent {
  const tab = payload.indexOf('\t');
  return { type: payload.slice(0, tab), data: payload.slice(tab + 1) };
}

/** First line of a live message; the payloads follow, one a line. */
export const encodeLiveHeader = (batch: Omit<LiveBatch, 'threadId' | 'events'>): string =>
  `${batch.first} ${batch.term} ${batch.attempt} ${batch.runFirst} ${batch.runId}`;

/** @returns undefined when `message` is no batch (see redis/scripts: `term <n>` after a reopen, or garbage) */
export function decodeLiveMessage(threadId: string, message: string): LiveBatch | undefined {
  const lines = message.split('\n');
  const header = /^(\d+) (\d+) (\d+) (\d+) (\S+)$/.exec(lines[0] ?? '');
  if (header === null) return undefined;
  const events: LogEvent[] = [];
  for (let line = 1; line < lines.length; line++) {
    const payload = lines[line] ?? '';
    if (!payload.includes('\t')) return undefined;
    events.push(decodePayload(payload));
  }
  return {
    threadId,
    first: Number(header[1]),
    term: Number(header[2]),
    attempt: Number(header[3]),
    runFirst: Number(header[4]),
    runId: header[5] ?? '',
    events,
  };
}
