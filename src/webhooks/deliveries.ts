/**
 * The deliveries of webhooks, in Postgres. A delivery is claimed for the time that one attempt may take;
 * when the process that claimed it dies, the claim lapses and another process tries again. So a receiver
 * may get a delivery twice, under the same id, and gets it at least once while attempts are left.
 */
import { AppError } from '../errors.ts';
import type { Db } from '../postgres/pool.ts';
import type { Visibility } from '../postgres/visibility.ts';

export const DELIVERY_STATUSES = ['pending', 'delivered', 'dead'] as const;
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number];

/** Settled deliveries are kept this long, for the list and for replays. */
const RETENTION_DAYS = 7;
/** Deliveries that one sweep removes at most. */
const EXPIRED_MAX = 1_000;
const ERROR_LENGTH_MAX = 500;

export class DeliveryNotFoundError extends AppError {
  readonly code = 'delivery_not_found';
}

export interface DeliveryRow {
  delivery_id: string;
  run_id: string;
  thread_id: string;
  url: string;
  status: DeliveryStatus;
  attempts: number;
  next_attempt_at: Date;
  /** Status of the last answer; null when there was none. */
  response_status: number | null;
  last_error: string | null;
  created_at: Date;
  updated_at: Date;
  delivered_at: Date | null;
}

const COLUMNS = `delivery_id, run_id, thread_id, url, status, attempts, next_attempt_at, response_status,
  last_error, created_at, updated_at, delivered_at`;

/**
 * By its run's thread as it is now; when the run is gone, by the run as it was: its metadata began with the thread's.
 * Not by the thread's id: clients choose it, so one that is gone may have come back as another's.
 */
const visibleDelivery = (placeholder: string): string =>
  `(${placeholder}::jsonb IS NULL OR coalesce(
     (SELECT t.metadata @> ${placeholder}::jsonb FROM runs r JOIN threads t USING (thread_id)
      WHERE r.run_id = webhook_deliveries.run_id),
     (run->'metadata')::jsonb @> ${placeholder}::jsonb))`;

/** A delivery in hand. `run`, `values` and `error` are JSON texts: they only pass through. */
export interface ClaimedDelivery {
  delivery_id: string;
  claims: number;
  /** With this one. */
  attempts: number;
  /** dead: the attempts were used up by processes that died; there is nothing to send. */
  status: 'pending' | 'dead';
  url: string;
  host: string;
  run: string;
  values: string | null;
  error: string | null;
}

export interface ClaimOptions {
  /** After this time the claim counts as lost, ms. */
  readonly leaseMs: number;
  readonly attemptsMax: number;
  /** Hosts that have enough attempts under way. */
  readonly busyHosts: readonly string[];
  /** Whether this process knows where paths lead to. */
  readonly paths: boolean;
}

/** @returns undefined when none is due */
export async function claimDelivery(
  db: Db,
  options: ClaimOptions,
): Promise<ClaimedDelivery | undefined> {
  const { rows } = await db.query<ClaimedDelivery>({
    name: 'claim-delivery',
    text: `
      WITH due AS MATERIALIZED (
        SELECT delivery_id FROM webhook_deliveries
        WHERE status = 'pending' AND next_attempt_at <= now() AND host <> ALL($3) AND ($4 OR host <> '')
        ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED
      )
      UPDATE webhook_deliveries d SET claims = claims + 1, attempts = least(attempts + 1, $2),
        status = CASE WHEN attempts < $2 THEN 'pending' ELSE 'dead' END,
        next_attempt_at = now() + $1 * interval '1 ms', updated_at = now()
      FROM due WHERE d.delivery_id = due.delivery_id
      RETURNING d.delivery_id, claims, attempts, status, url, host, run::text AS run,
        "values"::text AS "values", error::text AS error`,
    values: [options.leaseMs, options.attemptsMax, options.busyHosts, options.paths],
  });
  return rows[0];
}

export interface Attempt {
  readonly responseStatus: number | null;
  /** null: delivered. */
  readonly error: string | null;
  /** null: no further attempt, ms. */
  readonly retryMs: number | null;
}

/** @returns false when the claim was lost meanwhile; nothing is written then */
export async function settleDelivery(
  db: Db,
  claim: Pick<ClaimedDelivery, 'delivery_id' | 'claims'>,
  attempt: Attempt,
): Promise<boolean> {
  const { rowCount } = await db.query({
    name: 'settle-delivery',
    text: `UPDATE webhook_deliveries SET response_status = $3, last_error = $4,
             status = CASE WHEN $4::text IS NULL THEN 'delivered' WHEN $5::float8 IS NULL THEN 'dead' ELSE 'pending' END,
             delivered_at = CASE WHEN $4::text IS NULL THEN now() END,
             next_attempt_at = coalesce(now() + $5 * interval '1 ms', next_attempt_at), updated_at = now()
           WHERE delivery_id = $1 AND claims = $2 AND status = 'pending'`,
    values: [
      claim.delivery_id,
      claim.claims,
      attempt.responseStatus,
      attempt.error?.replaceAll('\0', '').slice(0, ERROR_LENGTH_MAX),
      attempt.retryMs,
    ],
  });
  return rowCount === 1;
}

/** Gives a delivery back whose attempt was broken off: it does not count and is due at once. */
export async function releaseDelivery(
  db: Db,
  claim: Pick<ClaimedDelivery, 'delivery_id' | 'claims'>,
): Promise<void> {
  await db.query(
    `UPDATE webhook_deliveries SET attempts = attempts - 1, next_attempt_at = now(), updated_at = now()
     WHERE delivery_id = $1 AND claims = $2 AND status = 'pending' AND attempts > 0`,
    [claim.delivery_id, claim.claims],
  );
}

export interface DeliverySearch {
  readonly visible: Visibility;
  readonly runId: string | undefined;
  readonly threadId: string | undefined;
  readonly status: DeliveryStatus | undefined;
}

/** Newest first. */
export async function listDeliveries(
  db: Db,
  search: DeliverySearch,
  page: { limit: number; offset: number },
): Promise<DeliveryRow[]> {
  const { rows } = await db.query<DeliveryRow>(
    `SELECT ${COLUMNS} FROM webhook_deliveries
     WHERE ($1::uuid IS NULL OR run_id = $1) AND ($2::uuid IS NULL OR thread_id = $2)
       AND ($3::text IS NULL OR status = $3) AND ${visibleDelivery('$6')}
     ORDER BY created_at DESC, delivery_id LIMIT $4 OFFSET $5`,
    [
      search.runId,
      search.threadId,
      search.status,
      page.limit,
      page.offset,
      search.visible.metadata,
    ],
  );
  return rows;
}

/**
 * Sends a delivery once more, whatever became of it, with all its attempts before it and under its id.
 * @throws {DeliveryNotFoundError}
 */
export async function replayDelivery(
  db: Db,
  deliveryId: string,
  visible: Visibility,
): Promise<DeliveryRow> {
  const { rows } = await db.query<DeliveryRow>(
    `UPDATE webhook_deliveries SET status = 'pending', attempts = 0, claims = claims + 1,
       next_attempt_at = now(), updated_at = now()
     WHERE delivery_id = $1 AND ${visibleDelivery('$2')} RETURNING ${COLUMNS}`,
    [deliveryId, visible.metadata],
  );
  const row = rows[0];
  if (row === undefined) throw new DeliveryNotFoundError('Webhook delivery not found');
  return row;
}

/** @returns how many were removed */
export async function deleteOldDeliveries(db: Db): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM webhook_deliveries WHERE delivery_id IN (
       SELECT delivery_id FROM webhook_deliveries
       WHERE status <> 'pending' AND updated_at < now() - $1 * interval '1 day' LIMIT $2)`,
    [RETENTION_DAYS, EXPIRED_MAX],
  );
  return rowCount ?? 0;
}
