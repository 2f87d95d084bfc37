/** What follows an attempt, for all that is delivered over HTTP: when the next one is, and how its outcome is kept. */
import { setTimeout as delay } from 'node:timers/promises';

/** A claim outlives the attempt by this much, for what Postgres takes. */
export const CLAIM_MARGIN_MS = 5_000;
const RETRY_FACTOR = 4;
const RETRY_MS_MAX = 3_600_000;
const SETTLE_TRIES = 3;

/**
 * Between half and all of the step, so that what failed together does not come back together.
 * @param firstRetryMs the step before the second attempt; each later one is four times as long, up to an hour
 */
export function backOffMs(firstRetryMs: number, attempts: number): number {
  const step = Math.min(firstRetryMs * RETRY_FACTOR ** (attempts - 1), RETRY_MS_MAX);
  return step * (0.5 + Math.random() / 2);
}

/** Not settled: the claim lapses, and it is delivered again. @throws what the last try threw */
export async function settle(write: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await write();
      return;
    } catch (error) {
      if (tries === SETTLE_TRIES) throw error;
      await delay(tries * 100);
    }
  }
}

/** Why a connection failed, in a line. */
export function reasonOf(error: unknown): string {
  // Several addresses, none of which could be connected to.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  return first instanceof Error ? first.message : String(first);
}
