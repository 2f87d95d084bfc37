/**
 * The run queue carries wake-ups: "this run may be claimable". The truth is the run's row; a wake-up that
 * is lost, doubled or late costs time only, because workers also look and the sweeper repeats.
 */
import type { Service } from '../lib/service.ts';

export interface WakeUp {
  readonly runId: string;
  /** Claims of the run so far: makes the job's id, so that the same wake-up is never queued twice. */
  readonly attempt: number;
  readonly delayMs: number;
}

export interface RunQueue {
  /** Never throws and never waits for Redis: what cannot be queued is left to signals and the sweeper. */
  wake(runs: readonly WakeUp[]): void;
  /** Wake-ups that wait; undefined when the queue cannot tell. */
  depth(): Promise<number | undefined>;
  stop(): Promise<void>;
}

/** The worker's side. */
export interface RunConsumer extends Service {
  /** Stops taking wake-ups; handlers that run go on. */
  pause(): Promise<void>;
}

/**
 * Settles when the run has ended here, or was not there to take. Never rejects.
 * @returns false when this worker stops and has not looked: the wake-up is another's
 */
export type RunHandler = (runId: string) => Promise<boolean>;
