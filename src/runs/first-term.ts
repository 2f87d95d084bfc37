/**
 * The term a thread begins with whose id a client may have used before: above every one that it can have had. Terms rise by
 * two a run, and a run takes more than two milliseconds. What is left in Redis and in other processes' memory of a thread
 * that was deleted is then of a lower term, and is passed over like everything of a lower term.
 */
export const FIRST_TERM = '(extract(epoch FROM clock_timestamp()) * 1000)::bigint';
