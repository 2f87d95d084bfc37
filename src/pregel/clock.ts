/** Time, passed in: tests and replays decide what time it is. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls `wake` once after `ms`. @returns a function that prevents it */
  timer(ms: number, wake: () => void): () => void;
}

/** What Node's timers hold, 24.8 days: a longer one would fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  timer(ms, wake) {
    const handle = setTimeout(wake, Math.min(ms, TIMER_MS_MAX));
    return () => {
      clearTimeout(handle);
    };
  },
};

/** Waits `ms`. Rejects with the signal's reason when it is aborted before. */
export function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const aborted = (): void => {
      cancel();
      reject(signal.reason as Error);
    };
    const cancel = clock.timer(ms, () => {
      signal.removeEventListener('abort', aborted);
      resolve();
    });
    signal.addEventListener('abort', aborted, { once: true });
  });
}
