/**
 * How far each group is behind the log, for metrics; nothing is decided by it. One statement for all groups, of which there
 * are GROUPS_MAX at most, over the index of positions with something undelivered.
 */
import type { Db } from '../postgres/pool.ts';

/** Threads of a group that are looked at, those that were let alone for longest; with more behind, the numbers are lower bounds. */
const THREADS_MAX = 2_000;

export interface ConsumerGroupLag {
  readonly name: string;
  /** Events of the archive that the group was not given yet, those that its filters will pass over included. */
  readonly events: number;
  /** Seconds that the oldest of them has waited, at most twice too many; 0 when there is none. */
  readonly seconds: number;
  /** Events that were given up, and those of them that are being replayed. */
  readonly deadLetters: number;
}

/** By name. A mark that nobody has collected is something that waits, for each group that is about its thread. */
export async function readConsumerGroupLag(db: Db): Promise<ConsumerGroupLag[]> {
  const { rows } = await db.query<ConsumerGroupLag>({
    name: 'consumer-group-lag',
    text: `
      SELECT g.name, coalesce(behind.events, 0)::float8 AS events, d.n AS "deadLetters",
        greatest(extract(epoch FROM now() - least(behind.since, mark.marked_at)), 0)::float8 AS seconds
      FROM consumer_groups g CROSS JOIN LATERAL (
        SELECT sum(archived_seq - seq) AS events, min(waiting_since) AS since FROM (
          SELECT archived_seq, seq, waiting_since FROM consumer_group_positions p
          WHERE p.group_id = g.group_id AND p.archived_seq > p.seq
          ORDER BY p.next_attempt_at LIMIT ${THREADS_MAX}
        ) w
      ) behind LEFT JOIN LATERAL (
        SELECT marked_at FROM consumer_group_marks m
        WHERE g.thread_id IS NULL OR m.thread_id = g.thread_id ORDER BY m.position LIMIT 1
      ) mark ON true CROSS JOIN LATERAL (
        SELECT count(*) AS n FROM consumer_group_dead_letters l WHERE l.group_id = g.group_id
      ) d
      ORDER BY g.name`,
  });
  return rows;
}
