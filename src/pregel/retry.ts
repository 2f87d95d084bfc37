/** When to try an actor again, and how long to wait before it. */
import { isControlSignal } from './control.ts';

export interface RetryPolicy {
  /** Tries in all, the first included. Default 3. */
  readonly maxAttempts?: number;
  /** Wait before the second try. Default 500. */
  readonly initialIntervalMs?: number;
  /** Each wait is this many times the one before. Default 2. */
  readonly backoffFactor?: number;
  /** No wait is longer. Default 128,000. */
  readonly maxIntervalMs?: number;
  /** Add a random part of up to a quarter. Default true. */
  readonly jitter?: boolean;
  /** Default: everything but aborts and errors that call themselves not retryable. */
  readonly retryOn?: (error: unknown) => boolean;
}

/** @returns whether a failed try number `attempt` (from 1) is followed by another */
export function shouldRetry(policy: RetryPolicy, attempt: number, error: unknown): boolean {
  if (isControlSignal(error)) return false;
  if (attempt >= (policy.maxAttempts ?? 3)) return false;
  return (policy.retryOn ?? retryable)(error);
}

function retryable(error: unknown): boolean {
  if (!(error instanceof Error)) return true;
  if (error.name === 'AbortError') return false;
  return !('retryable' in error) || error.retryable !== false;
}

/** Milliseconds to wait after try number `attempt` failed. */
export function retryDelayMs(policy: RetryPolicy, attempt: number): number {
  const base = (policy.initialIntervalMs ?? 500) * Math.pow(policy.backoffFactor ?? 2, attempt - 1);
  const capped = Math.min(base, policy.maxIntervalMs ?? 128_000);
  return policy.jitter === false ? capped : capped * (1 + Math.random() / 4);
}
