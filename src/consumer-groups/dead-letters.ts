/**
 * Events that a group could not be given. They stay in the log, so that a dead letter is a reference, and are gone when
 * their run or thread is. A replay delivers each by itself, with all its attempts before it; delivered, it is no dead letter.
 */
import type { Db } from '../postgres/pool.ts';
import { visibleThreadSql } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';
import { storable } from './positions.ts';

const RETENTION_DAYS = 7;
/** Dead letters that one sweep removes at most. */
const EXPIRED_MAX = 1_000;

export interface DeadLetter {
  dead_letter_id: string;
  thread_id: string;
  seq: number;
  term: number;
  type: string;
  /** JSON text. */
  data: string;
  run_id: string;
  status: 'dead' | 'replaying';
  attempts: number;
  error: string;
  created_at: Date;
  updated_at: Date;
}

const IN_LOG = `consumer_group_dead_letters d JOIN events e ON e.thread_id = d.thread_id AND e.seq = d.seq AND e.term = d.term
  JOIN terms m ON m.thread_id = d.thread_id AND m.term = d.term`;

export interface DeadLetterSearch {
  readonly groupId: string;
  readonly visible: Visibility;
  readonly threadId: string | undefined;
}

/** Newest first. */
export async function listDeadLetters(
  db: Db,
  search: DeadLetterSearch,
  page: { limit: number; offset: number },
): Promise<DeadLetter[]> {
  const { rows } = await db.query<DeadLetter>(
    `SELECT d.dead_letter_id, d.thread_id, d.seq, d.term, e.type, e.data, m.run_id, d.status, d.attempts, d.error,
       d.created_at, d.updated_at
     FROM ${IN_LOG}
     WHERE d.group_id = $1 AND ($2::uuid IS NULL OR d.thread_id = $2) AND ${visibleThreadSql('d.thread_id', '$3')}
     ORDER BY d.created_at DESC, d.thread_id, d.seq DESC LIMIT $4 OFFSET $5`,
    [search.groupId, search.threadId, search.visible.metadata, page.limit, page.offset],
  );
  return rows;
}

/**
 * The oldest first, at most `limit`; due at once.
 * @param ids undefined: all
 * @returns how many
 */
export async function replayDeadLetters(
  db: Db,
  search: DeadLetterSearch,
  ids: readonly string[] | undefined,
  limit: number,
): Promise<number> {
  const { rowCount } = await db.query(
    `UPDATE consumer_group_dead_letters SET status = 'replaying', attempts = 0, claims = claims + 1,
       next_attempt_at = now(), updated_at = now()
     WHERE dead_letter_id IN (
       SELECT dead_letter_id FROM consumer_group_dead_letters d
       WHERE group_id = $1 AND status = 'dead' AND ($2::uuid IS NULL OR thread_id = $2)
         AND ($4::uuid[] IS NULL OR dead_letter_id = ANY($4)) AND ${visibleThreadSql('d.thread_id', '$3')}
       ORDER BY created_at, thread_id, seq LIMIT $5 FOR UPDATE)`,
    [search.groupId, search.threadId, search.visible.metadata, ids, limit],
  );
  return rowCount ?? 0;
}

export interface ClaimedDeadLetter {
  dead_letter_id: string;
  group_id: string;
  thread_id: string;
  seq: number;
  claims: number;
  /** With this one. */
  attempts: number;
}

/** @returns undefined when no replay of these groups is due */
export async function claimDeadLetter(
  db: Db,
  groupIds: readonly string[],
  leaseMs: number,
): Promise<ClaimedDeadLetter | undefined> {
  const { rows } = await db.query<ClaimedDeadLetter>({
    name: 'claim-consumer-group-dead-letter',
    text: `
      WITH due AS MATERIALIZED (
        SELECT dead_letter_id FROM consumer_group_dead_letters
        WHERE status = 'replaying' AND next_attempt_at <= now() AND group_id = ANY($1)
        ORDER BY next_attempt_at, thread_id, seq LIMIT 1 FOR UPDATE SKIP LOCKED
      )
      UPDATE consumer_group_dead_letters d SET claims = claims + 1, attempts = attempts + 1,
        next_attempt_at = now() + $2 * interval '1 ms', updated_at = now()
      FROM due WHERE d.dead_letter_id = due.dead_letter_id
      RETURNING d.dead_letter_id, group_id, thread_id, seq, claims, attempts`,
    values: [groupIds, leaseMs],
  });
  return rows[0];
}

type Claim = Pick<ClaimedDeadLetter, 'dead_letter_id' | 'claims'>;

/** Delivered, or no longer in the log. @returns false when the claim was lost meanwhile */
export async function removeDeadLetter(db: Db, claim: Claim): Promise<boolean> {
  const { rowCount } = await db.query({
    name: 'remove-consumer-group-dead-letter',
    text: 'DELETE FROM consumer_group_dead_letters WHERE dead_letter_id = $1 AND claims = $2',
    values: [claim.dead_letter_id, claim.claims],
  });
  return rowCount === 1;
}

/** @param retryMs null: no further attempt, it is dead again */
export async function failDeadLetter(
  db: Db,
  claim: Claim,
  error: string,
  retryMs: number | null,
): Promise<void> {
  await db.query({
    name: 'fail-consumer-group-dead-letter',
    text: `UPDATE consumer_group_dead_letters SET error = $3,
             status = CASE WHEN $4::float8 IS NULL THEN 'dead' ELSE 'replaying' END,
             next_attempt_at = coalesce(now() + $4 * interval '1 ms', now()), updated_at = now()
           WHERE dead_letter_id = $1 AND claims = $2`,
    values: [claim.dead_letter_id, claim.claims, storable(error), retryMs],
  });
}

/** Gives back one whose attempt was broken off: it does not count and is due at once. */
export async function releaseDeadLetter(db: Db, claim: Claim): Promise<void> {
  await db.query(
    `UPDATE consumer_group_dead_letters SET attempts = greatest(attempts - 1, 0), next_attempt_at = now()
     WHERE dead_letter_id = $1 AND claims = $2`,
    [claim.dead_letter_id, claim.claims],
  );
}

/** @returns how many were removed */
export async function deleteOldDeadLetters(db: Db): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM consumer_group_dead_letters WHERE dead_letter_id IN (
       SELECT dead_letter_id FROM consumer_group_dead_letters
       WHERE status = 'dead' AND updated_at < now() - $1 * interval '1 day' LIMIT $2)`,
    [RETENTION_DAYS, EXPIRED_MAX],
  );
  return rowCount ?? 0;
}
