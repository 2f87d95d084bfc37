/** Crons, as the API makes, changes, finds and removes them. */
import { AppError } from '../errors.ts';
import { sqlState, transaction } from '../postgres/pool.ts';
import type { Db, Pool } from '../postgres/pool.ts';
import { visibleSql } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';
import { ThreadNotFoundError } from '../runs/run.ts';
import type { RunUser } from '../runs/run.ts';
import { firstDate, nextDate } from './schedule.ts';
import type { Schedule } from './schedule.ts';

export class CronNotFoundError extends AppError {
  readonly code = 'cron_not_found';
}

export const ON_RUN_COMPLETED = ['delete', 'keep'] as const;
export type OnRunCompleted = (typeof ON_RUN_COMPLETED)[number];

export interface CronRow {
  cron_id: string;
  assistant_id: string;
  thread_id: string | null;
  user_id: string | null;
  schedule: string;
  timezone: string | null;
  end_time: Date | null;
  enabled: boolean;
  /** null: its runs are on a thread of the client's. */
  on_run_completed: OnRunCompleted | null;
  payload: Record<string, unknown>;
  metadata: Record<string, unknown>;
  next_run_date: Date | null;
  created_at: Date;
  updated_at: Date;
}

export const CRON_COLUMNS = `cron_id, assistant_id, thread_id, user_id, schedule, timezone, end_time, enabled,
  on_run_completed, payload, metadata, next_run_date, created_at, updated_at`;

export type NewCron = Pick<
  CronRow,
  | 'cron_id'
  | 'assistant_id'
  | 'thread_id'
  | 'schedule'
  | 'timezone'
  | 'end_time'
  | 'enabled'
  | 'on_run_completed'
  | 'payload'
  | 'metadata'
> & {
  /** Whose runs they will be; null: no auth is configured. */
  readonly user: RunUser | null;
};

export const scheduleOf = (
  cron: Pick<CronRow, 'schedule' | 'timezone' | 'end_time'>,
): Schedule => ({
  schedule: cron.schedule,
  timezone: cron.timezone,
  endTime: cron.end_time,
});

/** Dates are Postgres' clock everywhere: that of this machine may be another. */
async function now(db: Db): Promise<Date> {
  const { rows } = await db.query<{ now: Date }>('SELECT now() AS now');
  const row = rows[0];
  if (row === undefined) throw new Error('SELECT now() answered nothing');
  return row.now;
}

/**
 * @throws {ScheduleInvalidError}
 * @throws {ThreadNotFoundError}
 */
export async function createCron(db: Db, cron: NewCron): Promise<CronRow> {
  const first = firstDate(scheduleOf(cron), await now(db));
  try {
    const { rows } = await db.query<CronRow>(
      `INSERT INTO crons (cron_id, assistant_id, thread_id, schedule, timezone, end_time, enabled,
         on_run_completed, payload, metadata, next_run_date, user_id, auth)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING ${CRON_COLUMNS}`,
      [
        cron.cron_id,
        cron.assistant_id,
        cron.thread_id,
        cron.schedule,
        cron.timezone,
        cron.end_time,
        cron.enabled,
        cron.on_run_completed,
        JSON.stringify(cron.payload),
        cron.metadata,
        cron.enabled ? first : null,
        cron.user?.identity,
        cron.user === null ? null : JSON.stringify(cron.user),
      ],
    );
    return found(rows[0]);
  } catch (error) {
    // The thread, or the assistant, was deleted since it was looked at.
    if (sqlState(error) === '23503')
      throw new ThreadNotFoundError('The thread or the assistant of the cron was deleted', {
        cause: error,
      });
    throw error;
  }
}

function found(row: CronRow | undefined): CronRow {
  if (row === undefined) throw new CronNotFoundError('Cron not found');
  return row;
}

/** What is undefined stays; payload is merged field by field, metadata key by key. */
export type CronChanges = {
  readonly [
    field in
      'schedule' | 'timezone' | 'end_time' | 'enabled' | 'on_run_completed' | 'payload' | 'metadata'
  ]?: CronRow[field] | undefined;
};

/**
 * A change of when it is due counts from now on: dates that passed before are not made up for. A cron of nobody, from
 * before auth was configured, becomes `user`'s; so does one whose payload `user` changes: what is executed in
 * somebody's name is only what they have asked for.
 * @throws {CronNotFoundError}
 * @throws {ScheduleInvalidError}
 */
export async function updateCron(
  pool: Pool,
  cronId: string,
  visible: Visibility,
  user: RunUser | null,
  changes: CronChanges,
): Promise<CronRow> {
  return transaction(pool, async (db) => {
    const { rows: locked } = await db.query<CronRow>(
      `SELECT ${CRON_COLUMNS} FROM crons
       WHERE cron_id = $1 AND ${visibleSql('metadata', '$2')} FOR UPDATE`,
      [cronId, visible.metadata],
    );
    const before = found(locked[0]);
    const given = Object.entries(changes).filter(([, value]) => value !== undefined);
    const after: CronRow = {
      ...before,
      ...Object.fromEntries(given),
      payload: { ...before.payload, ...changes.payload },
      metadata: { ...before.metadata, ...changes.metadata },
    };
    const rescheduled = (['schedule', 'timezone', 'end_time'] as const).some(
      (field) => changes[field] !== undefined,
    );
    // As at the creation: what is asked for now must be due some day.
    const dateOf = rescheduled && after.enabled ? firstDate : nextDate;
    const moved = rescheduled || changes.enabled !== undefined;
    const next = dateOf(scheduleOf(after), await now(db));
    const { rows } = await db.query<CronRow>(
      `UPDATE crons SET schedule = $2, timezone = $3, end_time = $4, enabled = $5, on_run_completed = $6,
         payload = $7, metadata = $8, next_run_date = CASE WHEN $9 THEN $10 ELSE next_run_date END, updated_at = now(),
         user_id = CASE WHEN $13 THEN coalesce($11, user_id) ELSE coalesce(user_id, $11) END,
         auth = CASE WHEN $13 THEN coalesce($12, auth) ELSE coalesce(auth, $12) END
       WHERE cron_id = $1 RETURNING ${CRON_COLUMNS}`,
      [
        cronId,
        after.schedule,
        after.timezone,
        after.end_time,
        after.enabled,
        // Only means something where the run's thread is its own.
        before.thread_id === null ? after.on_run_completed : null,
        JSON.stringify(after.payload),
        after.metadata,
        moved,
        after.enabled ? next : null,
        user?.identity,
        user === null ? null : JSON.stringify(user),
        Object.keys(changes.payload ?? {}).length > 0,
      ],
    );
    return found(rows[0]);
  });
}

/** @throws {CronNotFoundError} */
export async function deleteCron(db: Db, cronId: string, visible: Visibility): Promise<void> {
  const { rows } = await db.query<CronRow>(
    `DELETE FROM crons WHERE cron_id = $1 AND ${visibleSql('metadata', '$2')} RETURNING *`,
    [cronId, visible.metadata],
  );
  found(rows[0]);
}

export interface CronSearch {
  readonly visible: Visibility;
  readonly assistantId: string | undefined;
  readonly threadId: string | undefined;
  readonly enabled: boolean | undefined;
  readonly metadata: Record<string, unknown> | undefined;
}

export const CRON_SORT_FIELDS = [
  'cron_id',
  'assistant_id',
  'thread_id',
  'created_at',
  'updated_at',
  'next_run_date',
] as const;

export interface CronPage {
  readonly limit: number;
  readonly offset: number;
  readonly sortBy: (typeof CRON_SORT_FIELDS)[number];
  readonly sortOrder: 'asc' | 'desc';
}

const MATCHES = `($1::uuid IS NULL OR assistant_id = $1) AND ($2::uuid IS NULL OR thread_id = $2)
  AND ($3::boolean IS NULL OR enabled = $3) AND ($4::jsonb IS NULL OR metadata @> $4)
  AND ${visibleSql('metadata', '$5')}`;

const matchValues = (search: CronSearch): unknown[] => [
  search.assistantId,
  search.threadId,
  search.enabled,
  search.metadata,
  search.visible.metadata,
];

export async function searchCrons(db: Db, search: CronSearch, page: CronPage): Promise<CronRow[]> {
  const { rows } = await db.query<CronRow>(
    `SELECT ${CRON_COLUMNS} FROM crons WHERE ${MATCHES}
     ORDER BY ${page.sortBy} ${page.sortOrder} NULLS LAST, cron_id LIMIT $6 OFFSET $7`,
    [...matchValues(search), page.limit, page.offset],
  );
  return rows;
}

export async function countCrons(db: Db, search: CronSearch): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    `SELECT count(*) FROM crons WHERE ${MATCHES}`,
    matchValues(search),
  );
  return rows[0]?.count ?? 0;
}
