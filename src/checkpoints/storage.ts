/**
 * Checkpoints in Postgres: states of threads, their channel values and their tasks' writes, for every
 * runtime that executes graphs. Values come and go already encoded, so nothing here knows LangChain.
 *
 * Every write is ONE statement that first locks the thread's row where its term is still the writer's: FOR SHARE,
 * or as an archiver does where the run's events go along. READ COMMITTED makes that a fence: a claim that raises the term at the same moment holds the
 * row, we wait for it, Postgres looks at the row's new version, the term does not match, and the row (with
 * it every INSERT, which all select from it) is gone. A claim that comes second waits for us.
 */
import { AppError } from '../errors.ts';
import { archiveOwnRows } from '../events/archive.ts';
import { jsonbText } from '../postgres/jsonb.ts';
import type { Db } from '../postgres/pool.ts';
import { runningOf } from '../postgres/active-runs.ts';
import type { CheckpointHead, InlineValues, StoredCheckpoint } from './checkpoint.ts';
import type { EventsBefore } from './events-before.ts';
import type { CheckpointBatch } from './unflushed.ts';
import { writeStatement } from './write-statement.ts';
import type { CheckpointWriter } from './writer.ts';

/** A newer term owns the thread: stop, and write nothing more anywhere. */
export class TermFencedError extends AppError {
  readonly code = 'term_fenced';
}
/** A run has the thread; a state update has to wait for it. */
export class ThreadBusyError extends AppError {
  readonly code = 'thread_busy';
}
export class CheckpointThreadNotFoundError extends AppError {
  readonly code = 'thread_not_found';
}

/** Unset fields do not restrict. Newest first. */
export interface CheckpointFilter {
  readonly threadId?: string | undefined;
  readonly ns?: string | undefined;
  readonly id?: string | undefined;
  /** Only checkpoints written before this one. */
  readonly beforeId?: string | undefined;
  /** jsonb containment */
  readonly metadata?: Record<string, unknown> | undefined;
  readonly limit?: number | undefined;
}

const READ = `
SELECT c.thread_id, c.checkpoint_ns AS ns, c.checkpoint_id AS id, c.parent_id, c.run_id, c.head, c.metadata,
  (SELECT json_agg(json_build_array(b.channel, b.type, b.data))
   FROM json_each_text(c.head -> 'channel_versions') v
   JOIN checkpoint_blobs b ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns
    AND b.channel = v.key AND b.version = v.value) AS blobs,
  (SELECT json_agg(json_build_array(w.task_id, w.channel, w.type, w.data) ORDER BY w.task_id, w.idx)
   FROM (SELECT DISTINCT ON (task_id, idx) task_id, idx, channel, type, data FROM checkpoint_writes
         WHERE thread_id = c.thread_id AND checkpoint_ns = c.checkpoint_ns AND checkpoint_id = c.checkpoint_id
         ORDER BY task_id, idx, CASE WHEN idx < 0 THEN -position ELSE position END) w) AS writes
FROM checkpoints c`;
const READ_LATEST = {
  name: 'checkpoint-latest',
  text: `${READ} WHERE c.thread_id = $1 AND c.checkpoint_ns = $2 ORDER BY c.position DESC LIMIT 1`,
};
const READ_ONE = {
  name: 'checkpoint-one',
  text: `${READ} WHERE c.thread_id = $1 AND c.checkpoint_ns = $2 AND c.checkpoint_id = $3`,
};

interface Row {
  thread_id: string;
  ns: string;
  id: string;
  parent_id: string | null;
  run_id: string | null;
  head: CheckpointHead & { inline?: InlineValues };
  metadata: Record<string, unknown>;
  blobs: [string, string, string][] | null;
  writes: [string, string, string, string][] | null;
}

export class CheckpointStorage {
  readonly #db: Db;

  constructor(db: Db) {
    this.#db = db;
  }

  /**
   * The term that a write of `writer` has to find. A state update over the API brings none: it takes the
   * term that the thread has while no run is running. A claim after that raises the term and so refuses
   * the update, which a look at the runs inside the write could not promise: a statement that waited
   * for the thread's row still sees the runs as they were when it began.
   * @throws {ThreadBusyError | CheckpointThreadNotFoundError} for a writer without a term
   */
  async termOf(writer: CheckpointWriter): Promise<number> {
    if (writer.term !== null) return writer.term;
    const { rows } = await this.#db.query<{ term: number; busy: boolean }>(
      `SELECT term, ${runningOf('$1')} IS NOT NULL AS busy
       FROM threads WHERE thread_id = $1`,
      [writer.threadId],
    );
    const thread = rows[0];
    if (thread === undefined)
      throw new CheckpointThreadNotFoundError(`Thread with ID ${writer.threadId} not found`);
    if (thread.busy) throw new ThreadBusyError('Thread is busy');
    return thread.term;
  }

  /**
   * All of it or nothing, in one statement. Writing the same again changes nothing. A batch must not have
   * the same key twice (CheckpointQueue sees to it). What relaxed writes before it (`since`) have lost is written once more.
   * @param relaxed do not wait for the disk. For a run's checkpoints: the next commit that does wait, at the latest
   *   the one that ends the run, takes them along, and after a crash of Postgres before that the run goes on
   *   from an earlier checkpoint. Saves a disk flush, 1–3 ms, per statement.
   * @param events of the run: those that were emitted by now are in Postgres with the checkpoint, or before it
   * @returns whether it has waited for the disk, and with it everything before it
   * @throws {TermFencedError | ThreadBusyError} when the thread's term is not `term`
   */
  async write(
    writer: CheckpointWriter,
    term: number,
    batch: CheckpointBatch,
    relaxed: boolean,
    events?: EventsBefore,
  ): Promise<boolean> {
    if (await this.#writeAfter(writer, term, batch, relaxed, events)) return !relaxed;
    // Postgres has crashed before what it had taken was on its disk: once more, from what is there for good.
    events?.lost();
    const all = batch.since?.all() ?? batch;
    if (await this.#writeAfter(writer, term, all, false, events)) return true;
    throw new Error(`thread ${writer.threadId}: the run's events do not go on from its archive`);
  }

  /** @returns false when Postgres lacks what it had taken, or the term is over (known only when nothing else is asked) */
  async #writeAfter(
    writer: CheckpointWriter,
    term: number,
    batch: CheckpointBatch,
    relaxed: boolean,
    events: EventsBefore | undefined,
  ): Promise<boolean> {
    let before = events?.unarchived();
    // What is emitted meanwhile comes after the checkpoint: else a busy graph would keep this busy.
    const enough = before?.emitted ?? 0;
    while (before !== undefined && before.last < enough) {
      const archived = await archiveOwnRows(this.#db, writer.threadId, term, before.rows);
      if (archived === undefined) throw refusal(writer, term);
      if (archived < before.last) return false;
      events?.taken(before.last);
      before = events?.unarchived();
    }
    const { rows } = await this.#db.query<{ held: boolean }>(
      writeStatement(writer, term, batch, relaxed, before),
    );
    const [answer] = rows;
    if (answer === undefined && batch.since !== undefined) return false;
    if (answer === undefined) throw refusal(writer, term);
    if (answer.held && before !== undefined) events?.taken(before.last);
    return answer.held;
  }

  /** For what is not fenced (lifecycle.ts). */
  async use<T>(work: (db: Db) => Promise<T>): Promise<T> {
    return work(this.#db);
  }

  /** One checkpoint, or the latest of the namespace when `id` is left out. */
  async read(threadId: string, ns: string, id?: string): Promise<StoredCheckpoint | undefined> {
    const { rows } = await this.#db.query<Row>(
      id === undefined
        ? { ...READ_LATEST, values: [threadId, ns] }
        : { ...READ_ONE, values: [threadId, ns, id] },
    );
    return rows[0] === undefined ? undefined : storedOf(rows[0]);
  }

  async list(filter: CheckpointFilter): Promise<StoredCheckpoint[]> {
    const values: unknown[] = [];
    const param = (value: unknown): string => `$${values.push(value)}`;
    const where: string[] = [];
    if (filter.threadId !== undefined) where.push(`c.thread_id = ${param(filter.threadId)}`);
    if (filter.ns !== undefined) where.push(`c.checkpoint_ns = ${param(filter.ns)}`);
    if (filter.id !== undefined) where.push(`c.checkpoint_id = ${param(filter.id)}`);
    if (filter.metadata !== undefined)
      where.push(`c.metadata @> ${param(jsonbText(filter.metadata))}::jsonb`);
    if (filter.beforeId !== undefined) {
      const id = param(filter.beforeId);
      const thread =
        filter.threadId === undefined ? '' : ` AND thread_id = ${param(filter.threadId)}`;
      where.push(
        `c.position < (SELECT min(position) FROM checkpoints WHERE checkpoint_id = ${id}${thread})`,
      );
    }
    const { rows } = await this.#db.query<Row>(
      `${READ} ${where.length === 0 ? '' : `WHERE ${where.join(' AND ')}`} ORDER BY c.position DESC
       ${filter.limit === undefined ? '' : `LIMIT ${param(filter.limit)}`}`,
      values,
    );
    return rows.map(storedOf);
  }
}

function refusal({ threadId, term: own }: CheckpointWriter, term: number): AppError {
  return own === null
    ? new ThreadBusyError('Thread is busy')
    : new TermFencedError(
        `term ${term} of thread ${threadId} is over, its checkpoints are refused`,
      );
}

function storedOf(row: Row): StoredCheckpoint {
  const { inline = {}, ...head } = row.head;
  return {
    threadId: row.thread_id,
    ns: row.ns,
    id: row.id,
    parentId: row.parent_id,
    runId: row.run_id,
    head,
    metadata: row.metadata,
    blobs: row.blobs ?? [],
    inline,
    writes: row.writes ?? [],
  };
}
