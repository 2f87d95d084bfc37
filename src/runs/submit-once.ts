/**
 * Runs that a client may ask for again without getting more of them. The key is stored in the transaction that
 * makes the runs: requests that come at once wait for the first one's commit and then find its runs; when the
 * first one fails, its key is gone with it and the next request is the first.
 */
import { AppError } from '../errors.ts';
import { transaction } from '../postgres/pool.ts';
import type { Db } from '../postgres/pool.ts';
import { visibleThreadSql } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';
import type { NewRun } from './create.ts';
import { RUN_COLUMNS, RunNotFoundError } from './run.ts';
import type { RunRow } from './run.ts';
import { announceRuns, createRunsIn } from './submit.ts';
import type { SubmitDeps } from './submit.ts';

/** After this a key may be used for something else. */
const KEY_HOURS = 24;
/** Keys that one sweep removes at most. */
const EXPIRED_MAX = 5_000;

/** The key was used with another body. */
export class IdempotencyMismatchError extends AppError {
  readonly code = 'idempotency_mismatch';
}

export interface IdempotencyKey {
  /** Which threads the caller may see now: a key that is known is no permission. */
  readonly visible: Visibility;
  /** What the key is unique in. */
  readonly scope: string;
  readonly key: string;
  /** Of the request's body. */
  readonly bodyHash: Buffer;
}

export interface SubmittedOnce {
  /** In the order of the request, as they are now. */
  readonly runs: RunRow[];
  /** They were there before. */
  readonly replayed: boolean;
}

/**
 * All of the runs or none.
 * @throws {IdempotencyMismatchError}
 * @throws {RunNotFoundError} a run of the key was removed since
 * @throws {ThreadBusyError | ThreadNotFoundError}
 */
export async function submitOnce(
  deps: SubmitDeps,
  newRuns: readonly NewRun[],
  key: IdempotencyKey,
): Promise<SubmittedOnce> {
  const { known, created } = await transaction(deps.pool, async (db) => {
    const runIds = newRuns.map((run) => run.runId);
    if (!(await takeKey(db, key, runIds))) return { known: await findRuns(db, key), created: [] };
    return { known: undefined, created: await createRunsIn(db, newRuns, deps.fairness) };
  });
  if (known !== undefined) return { runs: known, replayed: true };
  return { runs: announceRuns(deps, newRuns, created), replayed: false };
}

/**
 * What a key has made, for requests that cannot be built a second time.
 * @throws {IdempotencyMismatchError | RunNotFoundError}
 */
export async function runsOfKey(db: Db, key: IdempotencyKey): Promise<RunRow[] | undefined> {
  const { rowCount } = await db.query({
    name: 'idempotency-key-in-use',
    text: `SELECT 1 FROM idempotency_keys
           WHERE scope = $1 AND key = $2 AND created_at >= now() - $3 * interval '1 hour'`,
    values: [key.scope, key.key, KEY_HOURS],
  });
  return rowCount === 0 ? undefined : findRuns(db, key);
}

/** @returns false when the key is in use. Waits for a transaction that is about to use it. */
async function takeKey(
  db: Db,
  { scope, key, bodyHash }: IdempotencyKey,
  runIds: readonly string[],
): Promise<boolean> {
  const { rowCount } = await db.query({
    name: 'take-idempotency-key',
    // One that has expired and is not swept yet is as good as none.
    text: `INSERT INTO idempotency_keys AS k (scope, key, body_hash, run_ids) VALUES ($1, $2, $3, $4)
           ON CONFLICT (scope, key) DO UPDATE
             SET body_hash = excluded.body_hash, run_ids = excluded.run_ids, created_at = now()
             WHERE k.created_at < now() - $5 * interval '1 hour'`,
    values: [scope, key, bodyHash, runIds, KEY_HOURS],
  });
  return rowCount === 1;
}

async function findRuns(
  db: Db,
  { scope, key, bodyHash, visible }: IdempotencyKey,
): Promise<RunRow[]> {
  const keys = await db.query<{ body_hash: Buffer; run_ids: string[] }>({
    name: 'find-idempotency-key',
    text: 'SELECT body_hash, run_ids FROM idempotency_keys WHERE scope = $1 AND key = $2',
    values: [scope, key],
  });
  const found = keys.rows[0];
  if (found?.body_hash.equals(bodyHash) !== true)
    throw new IdempotencyMismatchError(
      'Idempotency-Key was used with another body: use a new key for a new request',
    );
  const { rows } = await db.query<RunRow>({
    name: 'runs-of-idempotency-key',
    text: `SELECT ${RUN_COLUMNS} FROM runs
           WHERE run_id = ANY($1) AND ${visibleThreadSql('runs.thread_id', '$2')}
           ORDER BY array_position($1, run_id)`,
    values: [found.run_ids, visible.metadata],
  });
  if (rows.length !== found.run_ids.length)
    throw new RunNotFoundError(
      'Run not found: this Idempotency-Key has made its run, and the run was removed since',
    );
  return rows;
}

/** @returns how many were removed */
export async function deleteExpiredKeys(db: Db): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM idempotency_keys WHERE (scope, key) IN (
       SELECT scope, key FROM idempotency_keys WHERE created_at < now() - $1 * interval '1 hour' LIMIT $2)`,
    [KEY_HOURS, EXPIRED_MAX],
  );
  return rowCount ?? 0;
}
