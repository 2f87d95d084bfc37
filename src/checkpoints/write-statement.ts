/**
 * The one statement that writes checkpoints, made of the parts a batch has. A part that is not needed costs
 * although it inserts nothing (30 to 50 µs of executor start for each), so the statement of a single superstep
 * of small values, by far the most frequent, is one INSERT of scalars.
 *
 * Where events come before the checkpoint (events-before.ts) it is preceded by the archive's CTEs, and puts nothing
 * unless Postgres then has all of them. Where relaxed writes came before it, it puts nothing unless they are still
 * there (unflushed.ts): one look at one row's key.
 *
 * Named: prepared once per connection. Planning was more than half of the time. PgBouncer needs 1.21 or newer for
 * it in transaction mode.
 */
import { encodeRows, storeRowsSql } from '../events/archive.ts';
import { jsonbText } from '../postgres/jsonb.ts';
import type { EventBatch } from './events-before.ts';
import type { CheckpointBatch } from './unflushed.ts';
import type { CheckpointWriter } from './writer.ts';

/** In checkpoint_writes, whose key cannot be null: written by no run. */
const NO_RUN = '00000000-0000-0000-0000-000000000000';

/** An INSERT that selects from a CTE `fence (thread_id, run_id)`, and has `?` for each of its values, in order. */
interface Part {
  readonly name: string;
  readonly table: string;
  readonly sql: string;
  readonly values: readonly unknown[];
}

export interface CheckpointCtes {
  /** Which parts there are: the same name, the same SQL. */
  readonly name: string;
  /** ` AND …` for the statement's condition: what the batch goes on from is still there. */
  readonly since: string;
  /** `, put_… AS (…)` for each part. */
  readonly sql: string;
  readonly values: readonly unknown[];
}

/** The INSERTs as CTEs of another statement that has a CTE `fence (thread_id, run_id)` of its own. */
export function checkpointCtes(
  batch: CheckpointBatch,
  { thread, run, first }: { thread: string; run: string; first: number },
): CheckpointCtes {
  const parts = partsOf(batch);
  const since = sinceOf(batch, thread, run);
  return {
    name: `${since.name}${nameOf(parts)}`,
    since: numbered(since, first),
    sql: ctesOf(parts, first + since.values.length).join(''),
    values: [...since.values, ...parts.flatMap((part) => part.values)],
  };
}

/**
 * @param before the events that come with it, or were taken before
 * @returns a query that gives no row when the term is no longer the writer's, and otherwise one with `held`: false when
 *   Postgres does not have the events up to `before.last`. Where `batch.since` is not there: no row, or false
 */
export function writeStatement(
  writer: CheckpointWriter,
  term: number,
  batch: CheckpointBatch,
  relaxed: boolean,
  before?: EventBatch,
): { name: string; text: string; values: unknown[] } {
  const parts = partsOf(batch);
  const since = sinceOf(batch, '$1', '$3');
  const name = `checkpoint-write${relaxed ? '-relaxed' : ''}${before ? '-after' : ''}${since.name}${nameOf(parts)}`;
  const values: unknown[] = [writer.threadId, term, writer.runId];
  if (before !== undefined) values.push(encodeRows(before.rows), before.last);
  const first = values.push(...since.values) - since.values.length + 1;
  let text = texts.get(name);
  if (text === undefined) {
    text = (before === undefined ? textOf : textAfter)(parts, relaxed, since, first);
    texts.set(name, text);
  }
  for (const part of parts) values.push(...part.values);
  return { name, text, values };
}

/** A few per combination of parts. */
const texts = new Map<string, string>();

const RELAXED = ", set_config('synchronous_commit', 'off', true)";

/** ` AND …`: a condition that needs no column of the statement, so it is looked at once. */
type Condition = Pick<Part, 'name' | 'sql' | 'values'>;
const NONE: Condition = { name: '', sql: '', values: [] };

/** @param thread, run how the statement names their ids */
function sinceOf({ since }: CheckpointBatch, thread: string, run: string): Condition {
  if (since === undefined) return NONE;
  const { row } = since;
  if ('id' in row)
    return {
      name: '-since',
      // The first from this id on, not EXISTS: planned while the table is new, that takes the index by position and
      // looks at all of the thread's rows (0.9 ms where there are 12,000).
      sql: ` AND ?::text = (SELECT checkpoint_id FROM checkpoints WHERE thread_id = ${thread}::uuid
        AND checkpoint_ns = ?::text AND checkpoint_id >= ?::text ORDER BY checkpoint_id LIMIT 1)`,
      values: [row.id, row.ns, row.id],
    };
  return {
    name: '-since-write',
    sql: ` AND EXISTS (SELECT 1 FROM checkpoint_writes WHERE thread_id = ${thread}::uuid
      AND checkpoint_ns = ?::text AND checkpoint_id = ?::text AND task_id = ?::text AND idx = ?::integer AND run_id = coalesce(${run}::uuid, '${NO_RUN}'))`,
    values: [row.ns, row.checkpointId, row.taskId, row.idx],
  };
}

function textOf(parts: readonly Part[], relaxed: boolean, since: Condition, first: number): string {
  const fence = `WITH fence AS MATERIALIZED (
    SELECT thread_id, $3::uuid AS run_id${relaxed ? RELAXED : ''}
    FROM threads WHERE thread_id = $1::uuid AND term = $2::bigint${numbered(since, first)} FOR SHARE
  )`;
  const [only, ...more] = parts;
  const next = first + since.values.length;
  // One row goes in or nothing does, so the INSERT itself tells whether the fence held.
  if (only?.name === 'one' && more.length === 0)
    return `${fence} ${numbered(only, next)} RETURNING true AS held`;
  return `${fence}${ctesOf(parts, next).join('')} SELECT true AS held FROM fence`;
}

/** The row is locked as for any write to the archive: with FOR SHARE first, two statements would wait for each other. */
function textAfter(
  parts: readonly Part[],
  relaxed: boolean,
  since: Condition,
  first: number,
): string {
  return `WITH ${storeRowsSql(
    '$4',
    `SELECT thread_id, log_term, archived_seq, $3::uuid AS run_id${relaxed ? RELAXED : ''}
     FROM threads WHERE thread_id = $1::uuid AND term = $2::bigint FOR NO KEY UPDATE`,
  )}, watermark AS (
    UPDATE threads t SET archived_seq = d.last FROM (SELECT max(seq) AS last FROM dense) d
    WHERE t.thread_id = $1::uuid AND d.last IS NOT NULL
  ), fence AS MATERIALIZED (
    SELECT thread_id, run_id FROM head WHERE greatest(archived_seq, (SELECT max(seq) FROM dense)) >= $5::bigint${numbered(since, first)}
  )${ctesOf(parts, first + since.values.length).join('')}
  SELECT EXISTS (SELECT 1 FROM fence) AS held FROM head`;
}

function ctesOf(parts: readonly Part[], firstParameter: number): string[] {
  let next = firstParameter;
  return parts.map((part) => {
    const cte = `, put_${part.table} AS (${numbered(part, next)})`;
    next += part.values.length;
    return cte;
  });
}

function numbered({ sql }: Pick<Part, 'sql'>, firstParameter: number): string {
  let next = firstParameter;
  return sql.replaceAll('?', () => `$${next++}`);
}

const nameOf = (parts: readonly Part[]): string => parts.map(({ name }) => `-${name}`).join('');

const partsOf = (batch: CheckpointBatch): Part[] => [
  ...checkpointParts(batch),
  ...blobParts(batch),
  ...writeParts(batch),
];

const INTO_CHECKPOINTS =
  'INSERT INTO checkpoints (thread_id, run_id, checkpoint_ns, checkpoint_id, parent_id, head, metadata)';
const OVER_CHECKPOINT = `ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id) DO UPDATE
  SET run_id = EXCLUDED.run_id, parent_id = EXCLUDED.parent_id, head = EXCLUDED.head, metadata = EXCLUDED.metadata`;

const ONE_CHECKPOINT = `${INTO_CHECKPOINTS}
  SELECT thread_id, run_id, ?::text, ?::text, ?::text, ?::json, ?::jsonb FROM fence
  ${OVER_CHECKPOINT}`;
const CHECKPOINTS = `${INTO_CHECKPOINTS}
  SELECT thread_id, run_id, ns, id, parent_id, head::json, metadata::jsonb
  FROM fence, unnest(?::text[], ?::text[], ?::text[], ?::text[], ?::text[])
    WITH ORDINALITY AS r (ns, id, parent_id, head, metadata, ordinality)
  ORDER BY ordinality
  ${OVER_CHECKPOINT}`;
const BLOBS = `
  INSERT INTO checkpoint_blobs (thread_id, run_id, checkpoint_ns, channel, version, type, data)
  SELECT thread_id, run_id, r.* FROM fence, unnest(?::text[], ?::text[], ?::text[], ?::text[], ?::text[]) AS r
  ON CONFLICT DO NOTHING`;
const WRITES = `
  INSERT INTO checkpoint_writes (thread_id, run_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, data)
  SELECT thread_id, coalesce(run_id, '${NO_RUN}'), r.*
  FROM fence, unnest(?::text[], ?::text[], ?::text[], ?::integer[], ?::text[], ?::text[], ?::text[]) AS r
  ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, run_id) DO UPDATE
    SET channel = EXCLUDED.channel, type = EXCLUDED.type, data = EXCLUDED.data WHERE EXCLUDED.idx < 0`;

function checkpointParts({ checkpoints }: CheckpointBatch): Part[] {
  const rows = checkpoints.map(({ ns, id, parentId, head, inline, metadata }) => [
    ns,
    id,
    parentId,
    JSON.stringify({ ...head, inline }),
    jsonbText(metadata),
  ]);
  const [first, ...more] = rows;
  if (first === undefined) return [];
  if (more.length === 0)
    return [{ name: 'one', table: 'checkpoints', sql: ONE_CHECKPOINT, values: first }];
  return [{ name: 'many', table: 'checkpoints', sql: CHECKPOINTS, values: columns(rows) }];
}

function blobParts({ checkpoints }: CheckpointBatch): Part[] {
  const rows = checkpoints.flatMap(({ ns, blobs }) =>
    blobs.map(({ channel, version, type, data }) => [ns, channel, String(version), type, data]),
  );
  return rows.length === 0
    ? []
    : [{ name: 'blobs', table: 'blobs', sql: BLOBS, values: columns(rows) }];
}

function writeParts({ writes }: CheckpointBatch): Part[] {
  const rows = writes.map(({ ns, checkpointId, taskId, idx, channel, type, data }) => [
    ns,
    checkpointId,
    taskId,
    idx,
    channel,
    type,
    data,
  ]);
  return rows.length === 0
    ? []
    : [{ name: 'writes', table: 'writes', sql: WRITES, values: columns(rows) }];
}

/** One array per column, as unnest takes them. */
const columns = (rows: readonly (readonly unknown[])[]): unknown[][] =>
  (rows[0] ?? []).map((_, column) => rows.map((row) => row[column]));
