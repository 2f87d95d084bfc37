/**
 * Which attempt of its run a term of a thread's log is: asked once per term and kept, because it never
 * changes. Event ids of later attempts carry it.
 */
import type { Db } from '../postgres/pool.ts';

/** Terms kept in memory; the oldest go first. */
const TERMS_MAX = 20_000;

export interface TermAttempts {
  known(threadId: string, term: number): number | undefined;
  learn(threadId: string, term: number, attempt: number): void;
  /** @throws when Postgres does not answer, or the thread is gone */
  find(threadId: string, term: number): Promise<number>;
  /** The attempt that wrote the event at `seq`; 1 when there is none. */
  at(threadId: string, seq: number): Promise<number>;
}

export function createTermAttempts(db: Db): TermAttempts {
  const attempts = new Map<string, number>();

  function learn(threadId: string, term: number, attempt: number): void {
    if (attempts.size >= TERMS_MAX) attempts.delete(attempts.keys().next().value ?? '');
    attempts.set(`${threadId} ${term}`, attempt);
  }

  return {
    known: (threadId, term) => attempts.get(`${threadId} ${term}`),
    learn,
    async find(threadId, term) {
      const { rows } = await db.query<{ attempt: number }>({
        name: 'attempt-of-term',
        text: 'SELECT attempt FROM terms WHERE thread_id = $1 AND term = $2',
        values: [threadId, term],
      });
      const attempt = rows[0]?.attempt;
      if (attempt === undefined) throw new Error(`thread ${threadId}: no term ${term}`);
      learn(threadId, term, attempt);
      return attempt;
    },
    async at(threadId, seq) {
      const { rows } = await db.query<{ attempt: number }>({
        name: 'attempt-at-seq',
        text: `SELECT attempt FROM terms WHERE thread_id = $1 AND start_seq <= $2
               ORDER BY term DESC LIMIT 1`,
        values: [threadId, seq],
      });
      return rows[0]?.attempt ?? 1;
    },
  };
}
