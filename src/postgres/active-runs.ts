/**
 * Runs that wait and runs that run, as the partial indexes of migration 0022 say it: in a form whose selectivity the
 * planner cannot know, so that it counts with many. It takes what ANALYZE saw for what is there, mostly none, and the
 * claim of one run then looked at all that wait, for each that waits. Who wants all of them, whatever their thread or
 * place (sweeper, metrics), says `status = 'pending'`, which other indexes have.
 *
 * The other side: of many the planner expects to find one anywhere, and reads the table. So a look for one says which
 * (ORDER BY … LIMIT 1), which only an index gives at once.
 */
export const PENDING = (alias: string): string =>
  `CASE ${alias}.status WHEN 'pending' THEN true ELSE false END`;
export const RUNNING = (alias: string): string =>
  `CASE ${alias}.status WHEN 'running' THEN true ELSE false END`;

/** The id of the run that runs on a thread; there is one at most. */
export const runningOf = (thread: string): string =>
  `(SELECT x.run_id FROM runs x WHERE x.thread_id = ${thread} AND ${RUNNING('x')})`;
/**
 * The order of a thread's pending runs: one that has begun goes first, whatever the clock says now, because its range of
 * the log is open; then by time.
 */
export const THREADS_ORDER = (alias: string): string =>
  `(${alias}.attempt = 0), ${alias}.eligible_at, ${alias}.position`;
/** A column of the first of a thread's pending runs. */
export const firstPendingOf = (thread: string, column: string): string =>
  `(SELECT x.${column} FROM runs x WHERE x.thread_id = ${thread} AND ${PENDING('x')}
    ORDER BY ${THREADS_ORDER('x')} LIMIT 1)`;
/** Its time has come, as it has for good once it has begun: Postgres' clock may go back. */
export const DUE = (alias: string): string =>
  `(${alias}.attempt > 0 OR ${alias}.eligible_at <= now())`;
/**
 * The thread is free, and the pending run `r` is the first of its pending runs. A CASE, so that the planner counts with
 * many.
 * @param and of the run itself, looked at first
 */
export const threadsTurn = (and = 'true'): string => `
  CASE WHEN ${and} AND ${runningOf('r.thread_id')} IS NULL
    THEN ${firstPendingOf('r.thread_id', 'run_id')} = r.run_id ELSE false END`;
