/**
 * What the deployment has to do and who is there to do it, in one statement over partial indexes. For metrics,
 * readiness and autoscaling; nothing is decided by it.
 *
 *   wanted = ceil(threads with a run that is running or due / slots of one worker), within [min, max]
 *
 * Threads and not runs, because runs of one thread go one after the other: more workers would not end them
 * sooner. Runs for later do not count. With no worker alive its slots are what the asking process is configured for.
 */
import type { Db } from '../postgres/pool.ts';
import { runningOf } from '../postgres/active-runs.ts';

export interface Backlog {
  /** Runs whose time has come and that have no worker. */
  readonly due: number;
  /** Runs for later (`after_seconds`). */
  readonly delayed: number;
  readonly running: number;
  /** Threads with a run that is running or due: what could go on at once. */
  readonly threads: number;
  /** Seconds that the oldest run has waited for a worker; 0 when none does. Runs that wait for their own thread do not count. */
  readonly oldestSeconds: number;
  readonly workers: number;
  /** Runs that all workers together can execute at once. */
  readonly slots: number;
  /** How full Postgres' queue of notifications is, 0 to 1: at 1 every commit with a NOTIFY fails. */
  readonly notifyUsage: number;
}

interface Row {
  due: number;
  delayed: number;
  running: number;
  threads: number;
  oldest: number | null;
  workers: number;
  slots: number | null;
  notify: number;
}

const BACKLOG = `
  SELECT p.due, p.delayed, r.running, w.workers, w.slots, pg_notification_queue_usage() AS notify,
    (SELECT count(*) FROM (
       SELECT thread_id FROM runs WHERE status = 'running'
       UNION SELECT thread_id FROM runs WHERE status = 'pending' AND eligible_at <= now()) t) AS threads,
    (SELECT extract(epoch FROM now() - q.eligible_at)::float8 FROM runs q
     WHERE q.status = 'pending' AND q.eligible_at <= now()
       AND ${runningOf('q.thread_id')} IS NULL
     ORDER BY q.eligible_at, q.position LIMIT 1) AS oldest
  FROM (SELECT count(*) FILTER (WHERE eligible_at <= now()) AS due,
          count(*) FILTER (WHERE eligible_at > now()) AS delayed FROM runs WHERE status = 'pending') p,
    (SELECT count(*) AS running FROM runs WHERE status = 'running') r,
    (SELECT count(*) AS workers, sum(slots)::int AS slots FROM workers WHERE expires_at > now()) w`;

export async function readBacklog(db: Db): Promise<Backlog> {
  const { rows } = await db.query<Row>({ name: 'backlog', text: BACKLOG });
  const row = rows[0];
  return {
    due: row?.due ?? 0,
    delayed: row?.delayed ?? 0,
    running: row?.running ?? 0,
    threads: row?.threads ?? 0,
    oldestSeconds: Math.max(row?.oldest ?? 0, 0),
    workers: row?.workers ?? 0,
    slots: row?.slots ?? 0,
    notifyUsage: row?.notify ?? 0,
  };
}

export interface WantedLimits {
  readonly min: number;
  readonly max: number;
  /** Slots of a worker, when none is there to tell. */
  readonly slotsDefault: number;
}

/** Workers that the backlog asks for; the formula is above. */
export function wantedWorkers(
  backlog: Pick<Backlog, 'threads' | 'workers' | 'slots'>,
  { min, max, slotsDefault }: WantedLimits,
): number {
  const { threads, workers, slots } = backlog;
  const each = workers === 0 || slots === 0 ? slotsDefault : slots / workers;
  return Math.min(Math.max(Math.ceil(threads / each), min), max);
}
