/** Tests wait for what they need, never for an amount of time. */
import { setTimeout as pause } from 'node:timers/promises';

/**
 * Asks `condition` every 20 ms until it is truthy, and returns what it was then.
 * An error it throws counts as "not yet" and is the cause of the time-out's error.
 */
export async function waitUntil<T>(
  condition: () => T | Promise<T>,
  options: { timeoutMs: number; what?: string },
): Promise<NonNullable<T>> {
  const deadline = Date.now() + options.timeoutMs;
  let cause: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (Date.now() >= deadline)
      throw new Error(
        `waited ${options.timeoutMs} ms in vain for ${options.what ?? condition.toString()}`,
        { cause },
      );
    await pause(20);
  }
}
