/**
 * The run queue carries wake-ups: "a run may be claimable". The truth is the run's row, and which run a worker
 * takes is decided there (runs/ring.ts); a wake-up that is lost, doubled or late costs time only, because workers
 * also look and the sweeper repeats.
 */
import type { Service } from '../lib/service.ts';

export const QUEUE_BACKENDS = ['bullmq', 'list', 'memory'] as const;
export type QueueBackend = (typeof QUEUE_BACKENDS)[number];

export interface WakeUp {
  readonly runId: string;
  /** Claims of the run so far: makes the job's id, so that the same wake-up is never queued twice. */
  readonly attempt: number;
  readonly delayMs: number;
}

export interface RunQueue {
  /** Never throws and never waits for Redis: what cannot be queued is left to signals and the sweeper. */
  wake(runs: readonly WakeUp[]): void;
  /**
   * For runs that should have begun long ago: brings the queue to as many wake-ups as there are `runs`. A
   * backlog is no loss: with as many waiting, nothing is added. Any number of processes may say it at once.
   */
  repair(runs: readonly WakeUp[]): Promise<void>;
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
 * Settles when the run that was taken has ended here, or none was there to take. Never rejects.
 * @param runId the run that the wake-up was sent for, when the queue knows it
 * @returns false when this worker stops and has not looked: the wake-up is another's
 */
export type RunHandler = (runId: string | undefined) => Promise<boolean>;
