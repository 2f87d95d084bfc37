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
/**
 * Time for the answer, in short looks and not in one: after a pause of this process, a timer fires before
 * the answer that came meanwhile is read. Together: the longest that a request waits for a Postgres that is gone.
 */
const PROBE_LOOK_MS = 50;
const PROBE_LOOKS = 12;

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
  /** @returns whether Postgres answers now, within PROBE_LOOKS looks */
  probe(): Promise<boolean>;
}

export function createPostgresGuard(pool: Pool): PostgresGuard {
  let answeredAt = 0;
  // undefined from a client, null from pool.query.
  pool.on('release', (error: Error | boolean | null | undefined) => {
    if (error === undefined || error === null) answeredAt = Date.now();
  });
  let probing: Promise<boolean> | undefined;

  async function ask(): Promise<boolean> {
    const askedAt = Date.now();
    const probe = pool.query('SELECT 1').then(
      () => true,
      () => false,
    );
    for (let look = 0; look < PROBE_LOOKS; look++) {
      const later = delay(PROBE_LOOK_MS, 'later' as const, { ref: false });
      const answer = await Promise.race([probe, later]);
      if (answer !== 'later') return answer;
      // The answer to any statement will do.
      if (answeredAt >= askedAt) return true;
    }
    return false;
  }

  /** One probe at a time serves all who wait. */
  async function probe(): Promise<boolean> {
    probing ??= ask().finally(() => {
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
        const answers = Date.now() - answeredAt < SLOW_MS || (await probe());
        if (!answers)
          away.reject(new PostgresUnavailableError('Postgres does not answer, try again later'));
        else if (!settled) timer = setTimeout(() => void look(), SLOW_MS);
      }
      work.then(done, done);
      return Promise.race([work, away.promise]);
    },
  };
}
