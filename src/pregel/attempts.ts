/** Tries of one actor or task: its timeout and its retry policy. Not used when it has neither. */
import { AppError } from '../errors.ts';
import { sleep, type Clock } from './clock.ts';
import { retryDelayMs, shouldRetry, type RetryPolicy } from './retry.ts';

/** One attempt at an actor was not done in time. */
export class ActorTimeoutError extends AppError {
  readonly code = 'actor_timeout' as const;
  override readonly retryable = true;
}

export interface AttemptOptions {
  readonly name: string;
  readonly clock: Clock;
  /** Aborted: no further try. */
  readonly signal: AbortSignal;
  readonly retry: RetryPolicy | undefined;
  readonly timeoutMs: number | undefined;
}

/** Calls `run` until it succeeds, fails for good, or the signal is aborted. */
export async function runAttempts<T>(
  options: AttemptOptions,
  run: (attempt: number, signal: AbortSignal) => T | Promise<T>,
): Promise<T> {
  const { clock, signal, retry, timeoutMs } = options;
  for (let attempt = 1; ; attempt += 1) {
    try {
      if (timeoutMs === undefined) return await run(attempt, signal);
      return await timed(options, timeoutMs, (limited) => run(attempt, limited));
    } catch (error) {
      if (signal.aborted || retry === undefined || !shouldRetry(retry, attempt, error)) throw error;
      await sleep(clock, retryDelayMs(retry, attempt), signal);
    }
  }
}

async function timed<T>(
  { name, clock, signal }: AttemptOptions,
  timeoutMs: number,
  run: (signal: AbortSignal) => T | Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const forward = (): void => {
    controller.abort(signal.reason);
  };
  if (signal.aborted) forward();
  signal.addEventListener('abort', forward, { once: true });
  let cancel: (() => void) | undefined;
  try {
    return await Promise.race([
      Promise.resolve(run(controller.signal)),
      new Promise<never>((_resolve, reject) => {
        cancel = clock.timer(timeoutMs, () => {
          const error = new ActorTimeoutError(`"${name}" took longer than ${timeoutMs} ms`);
          controller.abort(error);
          reject(error);
        });
      }),
    ]);
  } finally {
    cancel?.();
    signal.removeEventListener('abort', forward);
  }
}
