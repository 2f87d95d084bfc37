/**
 * A request never hangs on a Postgres that does not answer. A statement may take its time; but when one
 * is slow and a plain `SELECT 1` gets no answer either, all requests that wait are answered with 503.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../errors.ts';
import { createDeferred } from '../lib/deferred.ts';
import type { Db } from '../postgres/pool.ts';

/** Slower than this: ask whether Postgres is there. */
const SLOW_MS = 500;
/** Time for the answer. Together: the longest that a request waits for a Postgres that is gone. */
const PROBE_MS = 500;

export class PostgresUnavailableError extends AppError {
  readonly code = 'postgres_unavailable';
  override readonly retryable = true;
}

export interface PostgresGuard {
  /**
   * `work`, as long as Postgres answers. Past that the work goes on unobserved, and may still succeed.
   * @throws {PostgresUnavailableError}
   */
  watch<T>(work: Promise<T>): Promise<T>;
  /** @returns whether Postgres answers within PROBE_MS */
  probe(): Promise<boolean>;
}

export function createPostgresGuard(db: Db): PostgresGuard {
  let probing: Promise<boolean> | undefined;

  /** One probe at a time serves all who wait. */
  async function probe(): Promise<boolean> {
    probing ??= Promise.race([
      db.query('SELECT 1').then(
        () => true,
        () => false,
      ),
      delay(PROBE_MS, false, { ref: false }),
    ]).finally(() => {
      probing = undefined;
    });
    return probing;
  }

  return {
    probe,
    watch(work) {
      const away = createDeferred<never>();
      // Rejected when the race is over: nobody listens.
      away.promise.catch(() => undefined);
      let settled = false;
      let timer = setTimeout(() => void look(), SLOW_MS);
      const done = (): void => {
        settled = true;
        clearTimeout(timer);
      };
      async function look(): Promise<void> {
        if (!(await probe()))
          away.reject(new PostgresUnavailableError('Postgres does not answer, try again later'));
        else if (!settled) timer = setTimeout(() => void look(), SLOW_MS);
      }
      work.then(done, done);
      return Promise.race([work, away.promise]);
    },
  };
}
