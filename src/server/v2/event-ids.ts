/**
 * Ids of a thread's events: `<seq>`, and `<seq>-<term>` from the first attempt on that followed a broken
 * one. Before that a seq was given out once. After it a client may hold events that the log has lost,
 * under seqs that came again: with the bare seq it would take the new ones for those it has.
 */
import type { LogBatch } from '../../events/event.ts';
import type { Db } from '../../postgres/pool.ts';

/** Terms kept in memory; the oldest go first. */
const TERMS_MAX = 20_000;

export interface ThreadEventId {
  /** 0: before the first event. */
  readonly seq: number;
  readonly term: number | undefined;
}

const EVENT_ID = /^(0|[1-9]\d{0,14})(?:-([1-9]\d{0,14}))?$/;

/** @returns null for an empty text and `-1`: from the start; undefined for what is no id */
export function parseThreadEventId(text: string): ThreadEventId | null | undefined {
  if (text === '' || text === '-1') return null;
  const match = EVENT_ID.exec(text);
  if (match === null) return undefined;
  return { seq: Number(match[1]), term: match[2] === undefined ? undefined : Number(match[2]) };
}

/** What the ids of a term's events end in: nothing, or `-<term>`. */
export interface IdSuffixes {
  known(batch: LogBatch): string | undefined;
  /** @throws when Postgres does not answer */
  find(threadId: string, term: number): Promise<string>;
  /** The id of the event that the log has at `seq` now. */
  idAt(threadId: string, seq: number): Promise<string>;
}

export function createIdSuffixes(db: Db): IdSuffixes {
  const suffixes = new Map<string, string>();

  function learn(threadId: string, term: number, suffix: string): string {
    if (suffixes.size >= TERMS_MAX) suffixes.delete(suffixes.keys().next().value ?? '');
    suffixes.set(`${threadId} ${term}`, suffix);
    return suffix;
  }

  return {
    known: ({ threadId, term }) => suffixes.get(`${threadId} ${term}`),
    async find(threadId, term) {
      const { rows } = await db.query<{ broken: boolean }>({
        name: 'thread-broken-at-term',
        text: `SELECT EXISTS (SELECT 1 FROM terms WHERE thread_id = $1 AND term <= $2 AND attempt > 1) AS broken`,
        values: [threadId, term],
      });
      return learn(threadId, term, rows[0]?.broken === true ? `-${term}` : '');
    },
    async idAt(threadId, seq) {
      const { rows } = await db.query<{ term: number | null; broken: boolean }>({
        name: 'thread-term-at-seq',
        text: `SELECT t.term, EXISTS (SELECT 1 FROM terms b
                 WHERE b.thread_id = $1 AND b.term <= t.term AND b.attempt > 1) AS broken
               FROM terms t WHERE t.thread_id = $1 AND t.start_seq <= $2 ORDER BY t.term DESC LIMIT 1`,
        values: [threadId, seq],
      });
      const row = rows[0];
      return row?.broken === true ? `${seq}-${row.term ?? 0}` : String(seq);
    },
  };
}
