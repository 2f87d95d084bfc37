/**
 * When a cron is due. Dates are found in the cron's time zone: a time that a change of clocks leaves out
 * comes at the change, one that it repeats comes once, and what recurs within the hour goes on as before.
 */
import { Cron } from 'croner';
import { AppError } from '../errors.ts';

/** A run of a cron that nobody could start in time is not started at all this long after the cron's end. */
const LATE_MS_MAX = 60_000;
const NICKNAME = /^@(yearly|annually|monthly|weekly|daily|midnight|hourly)$/i;

export class ScheduleInvalidError extends AppError {
  readonly code = 'input_invalid';
}

export interface Schedule {
  readonly schedule: string;
  /** IANA name; null: UTC. */
  readonly timezone: string | null;
  readonly endTime: Date | null;
}

/**
 * The first date after `after`, up to the end.
 * @returns null when there is none any more
 * @throws {ScheduleInvalidError}
 */
export function nextDate(cron: Schedule, after: Date): Date | null {
  const date = parse(cron).nextRun(after);
  return date === null || (cron.endTime !== null && date > cron.endTime) ? null : date;
}

/**
 * For a cron that begins now.
 * @throws {ScheduleInvalidError} also when it would never be due
 */
export function firstDate(cron: Schedule, now: Date): Date {
  const date = nextDate(cron, now);
  if (date !== null) return date;
  throw new ScheduleInvalidError(
    `schedule: ${JSON.stringify(cron.schedule)} is never due${cron.endTime === null ? '' : ' before end_time'}`,
  );
}

export interface Due {
  /** Whether there is a run for it. */
  readonly fires: boolean;
  /** The date after it. */
  readonly next: Date | null;
}

/** A cron whose date has come. Dates that passed meanwhile are made up for by this one run. */
export function due(cron: Schedule, slot: Date, now: Date): Due {
  const { endTime } = cron;
  return {
    fires: endTime === null || now.getTime() - endTime.getTime() <= LATE_MS_MAX,
    next: nextDate(cron, now > slot ? now : slot),
  };
}

function parse({ schedule, timezone }: Schedule): Cron {
  const fields = schedule.trim().split(/\s+/);
  if (fields.length !== 5 && !NICKNAME.test(schedule.trim()))
    throw invalid(schedule, `found ${fields.length} fields`);
  const timeZone = timezone ?? 'UTC';
  if (!isTimeZone(timeZone))
    throw new ScheduleInvalidError(
      `timezone: expected an IANA name such as Europe/Berlin, found ${JSON.stringify(timeZone)}`,
    );
  try {
    return new Cron(fields.join(' '), { timezone: timeZone, paused: true, sloppyRanges: true });
  } catch (error) {
    throw invalid(schedule, error instanceof Error ? error.message : String(error));
  }
}

const invalid = (schedule: string, why: string): ScheduleInvalidError =>
  new ScheduleInvalidError(
    `schedule: expected five cron fields (minute hour day month weekday), found ${JSON.stringify(schedule)}: ${why}`,
  );

function isTimeZone(name: string): boolean {
  // Offsets are no zones: they know no change of clocks.
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
