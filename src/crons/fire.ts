/**
 * Fires one cron that is due: its run, the record of the date and the next date, in one transaction. Any number of
 * processes try; the row's lock lets one of them, and when it dies the transaction never was and another
 * does it. A date whose run cannot be made (its thread is busy and the strategy is reject, its maker may
 * not any more) is recorded with the reason and passed over: a cron never blocks the others.
 */
import { isTransient, transaction } from '../postgres/pool.ts';
import type { Db } from '../postgres/pool.ts';
import { createRunIn } from '../runs/create.ts';
import type { CreatedRun, NewRun } from '../runs/create.ts';
import type { RunUser } from '../runs/run.ts';
import { announceRun } from '../runs/submit.ts';
import type { SubmitDeps } from '../runs/submit.ts';
import { CRON_COLUMNS, scheduleOf } from './cron.ts';
import type { CronRow } from './cron.ts';
import { due } from './schedule.ts';

/** Records of dates are kept this long, and looked through whenever the cron fires. */
const TICKS_KEPT_DAYS = 7;
const ERROR_LENGTH_MAX = 500;

/** A cron with what is not shown of it. */
export interface DueCron extends CronRow {
  /** Who made it; null: made while no auth was configured. */
  auth: RunUser | null;
}

/** Makes the run of a cron, with the assistant and the thread as they are now. */
export type BuildRun = (db: Db, cron: DueCron) => Promise<NewRun>;

export interface Fired {
  readonly cronId: string;
  /** The date it was due. */
  readonly slot: Date;
  /** undefined: past its end, failed, or this date had its run already. */
  readonly runId: string | undefined;
  readonly error: unknown;
}

interface DueRow extends DueCron {
  next_run_date: Date;
  now: Date;
}

/** @returns undefined when none is due */
export async function fireNext(submit: SubmitDeps, buildRun: BuildRun): Promise<Fired | undefined> {
  let made: { created: CreatedRun; newRun: NewRun } | undefined;
  const fired = await transaction(submit.pool, async (db): Promise<Fired | undefined> => {
    const { rows } = await db.query<DueRow>({
      name: 'due-cron',
      text: `SELECT ${CRON_COLUMNS}, auth, now() AS now FROM crons WHERE next_run_date <= now()
             ORDER BY next_run_date LIMIT 1 FOR UPDATE SKIP LOCKED`,
    });
    const cron = rows[0];
    if (cron === undefined) return undefined;
    const { cron_id: cronId, next_run_date: slot } = cron;
    const { fires, next } = due(scheduleOf(cron), slot, cron.now);
    // The row is locked, and was due when it was: nobody else has moved the date.
    await db.query('UPDATE crons SET next_run_date = $2 WHERE cron_id = $1', [cronId, next]);
    const passed: Fired = { cronId, slot, runId: undefined, error: undefined };
    if (!fires || !(await recordTick(db, cronId, slot))) return passed;

    await db.query('SAVEPOINT run');
    try {
      const newRun = await buildRun(db, cron);
      made = { newRun, created: await createRunIn(db, newRun, submit.fairness) };
    } catch (error) {
      if (isTransient(error)) throw error;
      await db.query('ROLLBACK TO SAVEPOINT run');
      await describeTick(db, passed, { error });
      return { ...passed, error };
    }
    const { runId } = made.newRun;
    await describeTick(db, passed, { runId });
    return { ...passed, runId };
  });
  if (made !== undefined) announceRun(submit, made.newRun, made.created);
  return fired;
}

/** @returns false when the date was recorded before: clocks went back, or somebody set it by hand */
async function recordTick(db: Db, cronId: string, slot: Date): Promise<boolean> {
  await db.query(
    `DELETE FROM cron_ticks WHERE cron_id = $1 AND slot < $2::timestamptz - $3 * interval '1 day'`,
    [cronId, slot, TICKS_KEPT_DAYS],
  );
  const { rowCount } = await db.query(
    'INSERT INTO cron_ticks (cron_id, slot) VALUES ($1, $2) ON CONFLICT DO NOTHING',
    [cronId, slot],
  );
  return rowCount === 1;
}

async function describeTick(
  db: Db,
  { cronId, slot }: Fired,
  what: { runId?: string; error?: unknown },
): Promise<void> {
  const { error } = what;
  const text = error === undefined ? undefined : describe(error);
  await db.query('UPDATE cron_ticks SET run_id = $3, error = $4 WHERE cron_id = $1 AND slot = $2', [
    cronId,
    slot,
    what.runId,
    text,
  ]);
}

function describe(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : 'unknown error';
  return text.replaceAll('\0', '').slice(0, ERROR_LENGTH_MAX);
}
