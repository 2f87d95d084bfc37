/** What a group is given at once: consecutive events of one thread that pass its filters, read from the archive. */
import type { Db } from '../postgres/pool.ts';
import type { ConsumerGroup } from './group.ts';

/** Text of a batch's events, in characters; one event may be larger by itself. */
const CHARS_MAX = 1024 * 1024;
/** Places of the log that one read looks at: filters may let little through. */
const SCAN_MAX = 5_000;

export interface BatchEvent {
  readonly seq: number;
  readonly term: number;
  readonly run_id: string;
  readonly assistant_id: string | null;
  readonly type: string;
  /** JSON text. */
  readonly data: string;
}

export interface Batch {
  readonly events: readonly BatchEvent[];
  /** Everything up to here is in it, or filtered out. */
  readonly end: number;
}

/**
 * Only what is archived, and so valid: what was rolled back is no longer there.
 * @param to the last seq it may have
 */
export async function readBatch(
  db: Db,
  group: Pick<ConsumerGroup, 'group_id' | 'assistant_id' | 'event_types' | 'batch_max'>,
  range: { threadId: string; after: number; to: number },
): Promise<Batch> {
  const to = Math.min(range.to, range.after + SCAN_MAX);
  const { rows } = await db.query<BatchEvent & { chars: number }>({
    name: 'read-consumer-group-batch',
    text: `
      SELECT seq, term, type, data, run_id, assistant_id, chars FROM (
        SELECT b.*, sum(length(data)) OVER (ORDER BY seq)::float8 AS chars FROM (
          SELECT e.seq, e.term, e.type, e.data, m.run_id, r.assistant_id
          FROM events e JOIN terms m ON m.thread_id = e.thread_id AND m.term = e.term
          LEFT JOIN runs r ON r.run_id = m.run_id
          WHERE e.thread_id = $1 AND e.seq > $2 AND e.seq <= $3
            AND ($4::uuid IS NULL OR r.assistant_id = $4)
            AND ($5::text[] IS NULL OR split_part(e.type, '|', 1) = ANY($5))
            AND EXISTS (SELECT 1 FROM threads t JOIN consumer_groups g ON t.metadata @> g.visible
                        WHERE t.thread_id = $1 AND g.group_id = $6)
          ORDER BY e.seq LIMIT $7
        ) b
      ) c WHERE chars - length(data) < ${CHARS_MAX} ORDER BY seq`,
    values: [
      range.threadId,
      range.after,
      to,
      group.assistant_id,
      group.event_types,
      group.group_id,
      group.batch_max,
    ],
  });
  const last = rows.at(-1);
  const full = rows.length === group.batch_max || (last?.chars ?? 0) >= CHARS_MAX;
  return { events: rows, end: full && last !== undefined ? last.seq : to };
}

/** As in the thread's own stream, with the thread: the same however often it is delivered. */
export const eventIdOf = (threadId: string, event: Pick<BatchEvent, 'seq' | 'term'>): string =>
  `${threadId}:${event.seq}-${event.term}`;

export const deliveryIdOf = (
  groupId: string,
  threadId: string,
  events: readonly BatchEvent[],
): string => `${groupId}:${threadId}:${events[0]?.seq ?? 0}-${events.at(-1)?.seq ?? 0}`;

/** JSON, put together as text: the data may be large and is not looked at. */
export function bodyOf(
  group: Pick<ConsumerGroup, 'name'>,
  threadId: string,
  { events, replay }: { events: readonly BatchEvent[]; replay: boolean },
): string {
  const texts = events.map(({ data, ...event }) => {
    const { seq, term, run_id, assistant_id, type } = event;
    const head = JSON.stringify({
      id: eventIdOf(threadId, event),
      seq,
      term,
      run_id,
      assistant_id,
      type,
    });
    return `${head.slice(0, -1)},"data":${data}}`;
  });
  const head = JSON.stringify({ consumer_group: group.name, thread_id: threadId, replay });
  return `${head.slice(0, -1)},"events":[${texts.join(',')}]}`;
}
