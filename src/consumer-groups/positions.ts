/**
 * Where groups are in threads. A position is claimed for the time that one attempt may take, by one process; when that
 * dies the claim lapses and another tries again. So an event comes at least once, and never before one that
 * stands before it in its thread, except that what has become a dead letter is passed over.
 */
import type { Db } from '../postgres/pool.ts';
import type { BatchEvent } from './batch.ts';

export const ERROR_LENGTH_MAX = 500;

export interface ClaimedPosition {
  group_id: string;
  thread_id: string;
  seq: number;
  archived_seq: number;
  /** No further than this: who tries again, also after a process that died, gives the same batch. */
  batch_to: number;
  claims: number;
  /** With this one. */
  attempts: number;
}

/**
 * Of the group that has waited longest. One look into the index a group, so that those that this process cannot serve,
 * with all that waits for them, cost nothing.
 * @returns undefined when nothing of these groups is due
 */
export async function claimPosition(
  db: Db,
  groupIds: readonly string[],
  leaseMs: number,
): Promise<ClaimedPosition | undefined> {
  const { rows } = await db.query<ClaimedPosition>({
    name: 'claim-consumer-group-position',
    text: `
      WITH first AS MATERIALIZED (
        SELECT d.group_id FROM unnest($1::uuid[]) AS g(group_id) CROSS JOIN LATERAL (
          SELECT p.group_id, p.next_attempt_at FROM consumer_group_positions p
          WHERE p.group_id = g.group_id AND p.archived_seq > p.seq AND p.next_attempt_at <= now()
          ORDER BY p.next_attempt_at LIMIT 1
        ) d ORDER BY d.next_attempt_at LIMIT 1
      ), due AS MATERIALIZED (
        SELECT group_id, thread_id FROM consumer_group_positions
        WHERE archived_seq > seq AND next_attempt_at <= now() AND group_id = (SELECT group_id FROM first)
        ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED
      )
      UPDATE consumer_group_positions p SET claims = claims + 1, attempts = attempts + 1,
        batch_to = coalesce(batch_to, archived_seq), next_attempt_at = now() + $2 * interval '1 ms'
      FROM due WHERE p.group_id = due.group_id AND p.thread_id = due.thread_id
      RETURNING p.group_id, p.thread_id, seq, archived_seq, batch_to, claims, attempts`,
    values: [groupIds, leaseMs],
  });
  return rows[0];
}

type Claim = Pick<ClaimedPosition, 'group_id' | 'thread_id' | 'claims'>;

const OWN = 'group_id = $1 AND thread_id = $2 AND claims = $3';

/** With $4, up to which nothing waits any more. What waited longest is what came next (migration 0021). */
const MOVED = `seq = $4, attempts = 0, batch_to = NULL, next_attempt_at = now(),
  waiting_since = CASE WHEN $4 >= rest_from THEN rest_since ELSE waiting_since END,
  rest_since = CASE WHEN $4 >= rest_from THEN NULL ELSE rest_since END,
  rest_from = CASE WHEN $4 >= rest_from THEN NULL ELSE rest_from END`;

/** Delivered up to `end`. @returns false when the claim was lost meanwhile; nothing is written then */
export async function advance(db: Db, claim: Claim, end: number): Promise<boolean> {
  const { rowCount } = await db.query({
    name: 'advance-consumer-group-position',
    text: `UPDATE consumer_group_positions SET ${MOVED}, last_error = NULL WHERE ${OWN}`,
    values: [claim.group_id, claim.thread_id, claim.claims, end],
  });
  return rowCount === 1;
}

/** The same batch again, later. */
export async function postpone(
  db: Db,
  claim: Claim,
  failed: { end: number; error: string; retryMs: number },
): Promise<void> {
  await db.query({
    name: 'postpone-consumer-group-position',
    text: `UPDATE consumer_group_positions SET batch_to = $4, last_error = $5,
             next_attempt_at = now() + $6 * interval '1 ms' WHERE ${OWN}`,
    values: [
      claim.group_id,
      claim.thread_id,
      claim.claims,
      failed.end,
      storable(failed.error),
      failed.retryMs,
    ],
  });
}

/** The batch becomes dead letters, and the group goes on behind it. */
export async function bury(
  db: Db,
  claim: Claim & Pick<ClaimedPosition, 'attempts'>,
  failed: { events: readonly BatchEvent[]; end: number; error: string },
): Promise<void> {
  await db.query({
    name: 'bury-consumer-group-batch',
    text: `
      WITH moved AS (
        UPDATE consumer_group_positions SET ${MOVED}, last_error = $5 WHERE ${OWN} RETURNING group_id, thread_id
      )
      INSERT INTO consumer_group_dead_letters (dead_letter_id, group_id, thread_id, seq, term, attempts, error)
      SELECT gen_random_uuid(), group_id, thread_id, e.seq, e.term, $6, $5
      FROM moved CROSS JOIN unnest($7::bigint[], $8::bigint[]) AS e(seq, term)
      ON CONFLICT (group_id, thread_id, seq) DO NOTHING`,
    values: [
      claim.group_id,
      claim.thread_id,
      claim.claims,
      failed.end,
      storable(failed.error),
      claim.attempts,
      failed.events.map((event) => event.seq),
      failed.events.map((event) => event.term),
    ],
  });
}

/** Gives a position back whose attempt was broken off: it does not count and is due at once. */
export async function release(db: Db, claim: Claim): Promise<void> {
  await db.query(
    `UPDATE consumer_group_positions SET attempts = greatest(attempts - 1, 0), next_attempt_at = now() WHERE ${OWN}`,
    [claim.group_id, claim.thread_id, claim.claims],
  );
}

export const storable = (error: string): string =>
  error.replaceAll('\0', '').slice(0, ERROR_LENGTH_MAX);
