/**
 * A request never hangs on a Postgres that does not answer. A statement may take its time, or wait long
 * for a connection; but when no statement of this process is answered any more and a plain `SELECT 1` is
 * not either, all requests that wait are answered with 503.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../errors.ts';
import { createDeferred } from '../lib/deferred.ts';
import type { Pool } from '../postgres/pool.ts';

/** Slower than this, and nothing else answered meanwhile: ask whether Postgres is there. */
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
  /** @returns whether Postgres has answered just now, or does within PROBE_MS */
  probe(): Promise<boolean>;
}

export function createPostgresGuard(pool: Pool): PostgresGuard {
  let answeredAt = 0;
  pool.on('release', (error: Error | undefined) => {
    if (error === undefined) answeredAt = Date.now();
  });
  let probing: Promise<boolean> | undefined;

  /** One probe at a time serves all who wait. */
  async function probe(): Promise<boolean> {
    if (Date.now() - answeredAt < SLOW_MS) return true;
    probing ??= Promise.race([
      pool.query('SELECT 1').then(
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
