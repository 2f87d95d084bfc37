/**
 * The ring in Postgres: lets runs that wait outside follow into it. Runs enter when they are made (create.ts), when
 * their thread's turn comes (finish.ts), when a claim leaves few of their key (worker.ts), and, whatever
 * was lost, by the sweeper. Entering twice is harmless, entering too late costs time only: the claim
 * itself checks every condition, and a worker that finds the ring empty looks outside.
 */
import { transaction } from '../postgres/pool.ts';
import type { Db, Pool } from '../postgres/pool.ts';
import { threadsTurn } from '../postgres/active-runs.ts';
import { limitOf, RING_WINDOW, TURN_MS } from './fairness.ts';
import type { FairnessRules } from './fairness.ts';
import type { Requeued } from './lease.ts';

/** Keys that one sweep looks at. */
const SWEEP_KEYS_MAX = 200;

/** In the ring, as the partial indexes say it. */
export const IN_RING = (alias: string): string =>
  `CASE ${alias}.status WHEN 'pending' THEN ${alias}.ring_at IS NOT NULL ELSE false END`;
export const OUTSIDE = (alias: string): string =>
  `CASE ${alias}.status WHEN 'pending' THEN ${alias}.ring_at IS NULL ELSE false END`;
/** At most `max` is counted. */
export const ringCount = (key: string, max: string | number): string =>
  `(SELECT count(*)::int FROM (SELECT 1 FROM runs o WHERE o.fair_key = ${key} AND ${IN_RING('o')}
    ORDER BY o.priority, o.ring_at LIMIT ${max}) AS counted)`;
/** A run of the key that is outside, or null. */
export const firstOutside = (key: string): string =>
  `(SELECT o.run_id FROM runs o WHERE o.fair_key = ${key} AND ${OUTSIDE('o')} ORDER BY o.due, o.position LIMIT 1)`;
/**
 * ringPlaceOf in SQL.
 * @param own what a run's priority is worth stands in its row (eligible_at - due): OWN_PLACE
 * @param nth 1 for the first of several that enter together
 */
export const ringPlace = (own: string, key: string, priority: string, nth = '1'): string => `
  least(greatest(${own}, (SELECT max(o.ring_at) FROM runs o WHERE o.fair_key = ${key} AND o.priority = ${priority} AND ${IN_RING('o')})
      + interval '${TURN_MS} ms') + (${nth} - 1) * interval '${TURN_MS} ms',
    ${own} + interval '${RING_WINDOW * TURN_MS} ms')`;
export const OWN_PLACE = '(now() - (r.eligible_at - r.due))';

const admitSql = (held: boolean): string => `
  WITH room AS MATERIALIZED (
    SELECT k.key, greatest(0, least(${RING_WINDOW} - ${ringCount('k.key', RING_WINDOW)}, ${
      held
        ? `$2::int - ${ringCount('k.key', '$2::int')}
           - (SELECT count(*)::int FROM runs o WHERE o.fair_key = k.key AND o.status = 'running')`
        : RING_WINDOW
    })) AS room
    FROM unnest($1::text[]) AS k(key)
  ), chosen AS MATERIALIZED (
    SELECT c.run_id, row_number() OVER (PARTITION BY room.key, c.priority ORDER BY c.due, c.position) AS nth
    FROM room, LATERAL (
      SELECT r.run_id, r.priority, r.due, r.position FROM runs r
      WHERE r.fair_key = room.key AND ${OUTSIDE('r')} AND ${threadsTurn(`r.eligible_at <= now() AND ${held ? '' : 'NOT'} r.held`)}
      ORDER BY r.due, r.position LIMIT room.room FOR UPDATE OF r SKIP LOCKED
    ) AS c
  )
  UPDATE runs r SET ring_at = ${ringPlace(OWN_PLACE, 'r.fair_key', 'r.priority', 'chosen.nth')}
  FROM chosen WHERE r.run_id = chosen.run_id AND ${OUTSIDE('r')}
    -- by their keys: more are expected than come, for which it would read the table
    AND r.run_id = ANY(ARRAY(SELECT run_id FROM chosen))
  RETURNING r.run_id, r.attempt, r.eligible_at > r.updated_at + interval '10 ms' AS delayed`;

const ADMIT = admitSql(false);
const ADMIT_HELD = admitSql(true);

/**
 * Fills the ring with runs of these keys, as far as each one's window goes; those with a limit are left where they are.
 * @returns those whose time has come only now: not every queue has kept a wake-up for them
 */
export async function admit(db: Db, keys: readonly string[]): Promise<Requeued[]> {
  if (keys.length === 0) return [];
  const { rows } = await db.query<{ run_id: string; attempt: number; delayed: boolean }>({
    name: 'admit',
    text: ADMIT,
    values: [keys],
  });
  return rows
    .filter((row) => row.delayed)
    .map((row) => ({ runId: row.run_id, attempt: row.attempt }));
}

/**
 * The same for runs of a key that has a limit, or had one when they were made.
 * @returns those that entered: nobody has sent their wake-up yet
 */
export async function admitHeld(
  pool: Pool,
  rules: FairnessRules,
  key: string,
): Promise<Requeued[]> {
  // The lock first, in a statement of its own: the count must see what the last holder has committed.
  const { rows } = await transaction(pool, async (db) => {
    await db.query("SELECT pg_advisory_xact_lock(hashtextextended('millrace-ring ' || $1, 0))", [
      key,
    ]);
    return db.query<{ run_id: string; attempt: number }>({
      name: 'admit-held',
      text: ADMIT_HELD,
      values: [[key], limitOf(rules, key) ?? RING_WINDOW],
    });
  });
  return rows.map((row) => ({ runId: row.run_id, attempt: row.attempt }));
}

/** Those of the keys that have runs which only admitHeld lets in. */
export async function heldKeys(db: Db, keys: readonly string[]): Promise<string[]> {
  if (keys.length === 0) return [];
  const { rows } = await db.query<{ key: string }>({
    name: 'held-keys',
    text: `SELECT k.key FROM unnest($1::text[]) AS k(key)
           WHERE (SELECT r.held FROM runs r WHERE r.fair_key = k.key AND ${OUTSIDE('r')} AND r.held
             ORDER BY r.due, r.position LIMIT 1)`,
    values: [keys],
  });
  return rows.map((row) => row.key);
}

/**
 * Some of the keys with runs outside, in alphabetical order, above `after`: each is one look into the index,
 * however many runs it has.
 * @returns at most SWEEP_KEYS_MAX; fewer: that was the last of them
 */
export async function keysOutside(
  db: Db,
  after: string | null,
): Promise<{ keys: string[]; next: string | null }> {
  const { rows } = await db.query<{ key: string }>({
    name: 'keys-outside',
    text: `WITH RECURSIVE k AS (
             (SELECT r.fair_key AS key FROM runs r WHERE ${OUTSIDE('r')} AND ($1::text IS NULL OR r.fair_key > $1)
              ORDER BY r.fair_key LIMIT 1)
             UNION ALL
             SELECT (SELECT r.fair_key FROM runs r WHERE ${OUTSIDE('r')} AND r.fair_key > k.key ORDER BY r.fair_key LIMIT 1)
             FROM k WHERE k.key IS NOT NULL
           )
           SELECT key FROM k WHERE key IS NOT NULL LIMIT ${SWEEP_KEYS_MAX}`,
    values: [after],
  });
  const keys = rows.map((row) => row.key);
  return { keys, next: keys.length < SWEEP_KEYS_MAX ? null : (keys.at(-1) ?? null) };
}
