/**
 * Where a writer's batches go: Redis (fast; the archiver brings them to Postgres) or Postgres itself
 * (the direct path). One port, so that a writer may change from one to the other within a run.
 */
import type { LogEvent } from './event.ts';

/** One claim's right to write to a thread's log. */
export interface LogOwner {
  readonly threadId: string;
  readonly term: number;
  readonly runId: string;
  readonly attempt: number;
  /** First seq of this term. Everything below it is in Postgres. */
  readonly start: number;
  /** First seq of the run. */
  readonly runFirst: number;
}

export const APPEND_STATUSES = [
  'OK',
  'DUP', // already there
  'GAP', // the log lost our tail: send again from last + 1
  'FENCED', // a newer term owns the thread: stop, write nothing more anywhere
  'REOPEN', // the log went back in time: ask Postgres, then reopen
  'CLOSED', // the run has ended
  'CANCELLED', // nothing written: somebody asks this run to stop
  'BACKPRESSURE', // too much is not archived yet: wait
] as const;
export type AppendStatus = (typeof APPEND_STATUSES)[number];

export interface AppendReply {
  status: AppendStatus;
  /** Last seq of the log. */
  last: number;
  /** Every event up to here is in Postgres. */
  archived: number;
}

export interface LogBackend {
  readonly name: 'redis' | 'direct';
  /** True when a call has a chance to succeed now. */
  available(): boolean;
  /**
   * @param first seq of events[0]; an empty batch only asks for the watermark
   * @throws on a lost connection: the outcome is unknown, sending again is safe
   */
  append(owner: LogOwner, first: number, events: readonly LogEvent[]): Promise<AppendReply>;
  /**
   * Makes the log ready for `owner` again after REOPEN.
   * @param archived from Postgres
   * @returns last valid seq, or undefined when fenced
   */
  reopen(owner: LogOwner, archived: number): Promise<number | undefined>;
}
