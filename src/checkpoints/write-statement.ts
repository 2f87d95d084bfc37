/**
 * The one statement that writes checkpoints, made of the parts a batch has. A part that is not needed costs
 * although it inserts nothing (30 to 50 µs of executor start for each), so the statement of a single superstep
 * of small values, by far the most frequent, is one INSERT of scalars.
 *
 * Named: prepared once per connection. Planning was more than half of the time. PgBouncer needs 1.21 or newer for
 * it in transaction mode.
 */
import { jsonbText } from '../postgres/jsonb.ts';
import type { CheckpointPut, WritePut } from './checkpoint.ts';
import type { CheckpointWriter } from './writer.ts';

/** In checkpoint_writes, whose key cannot be null: written by no run. */
const NO_RUN = '00000000-0000-0000-0000-000000000000';

export interface CheckpointBatch {
  readonly checkpoints: readonly CheckpointPut[];
  readonly writes: readonly WritePut[];
}

/** A part's SQL has `?` for each of its parameters, in order. */
interface Part {
  readonly name: string;
  readonly table: string;
  readonly sql: string;
  readonly values: readonly unknown[];
}

/** @returns a query that gives one row when the term was still the writer's, and otherwise none */
export function writeStatement(
  writer: CheckpointWriter,
  term: number,
  batch: CheckpointBatch,
  relaxed: boolean,
): { name: string; text: string; values: unknown[] } {
  const parts = [...checkpointParts(batch), ...blobParts(batch), ...writeParts(batch)];
  const kind = relaxed ? 'checkpoint-write-relaxed' : 'checkpoint-write';
  const name = [kind, ...parts.map((part) => part.name)].join('-');
  const values = [writer.threadId, term, writer.runId, ...parts.flatMap((part) => part.values)];
  let text = texts.get(name);
  if (text === undefined) {
    text = textOf(parts, relaxed);
    texts.set(name, text);
  }
  return { name, text, values };
}

/** At most one per combination of parts. */
const texts = new Map<string, string>();

function textOf(parts: readonly Part[], relaxed: boolean): string {
  let parameter = 3;
  const puts = parts.map(({ table, sql }) => ({
    table,
    sql: sql.replaceAll('?', () => `$${(parameter += 1)}`),
  }));
  const fence = `WITH fence AS MATERIALIZED (
    SELECT ${relaxed ? "set_config('synchronous_commit', 'off', true)" : ''}
    FROM threads WHERE thread_id = $1::uuid AND term = $2::bigint FOR SHARE
  )`;
  const [only, ...more] = puts;
  // One row goes in or nothing does, so the INSERT itself tells whether the fence held.
  if (only !== undefined && more.length === 0 && parts[0]?.name === 'one')
    return `${fence} ${only.sql} RETURNING 1 AS held`;
  const ctes = puts.map(({ table, sql }) => `, put_${table} AS (${sql})`);
  return `${fence}${ctes.join('')} SELECT 1 AS held FROM fence`;
}

const INTO_CHECKPOINTS =
  'INSERT INTO checkpoints (thread_id, run_id, checkpoint_ns, checkpoint_id, parent_id, head, metadata)';
const OVER_CHECKPOINT = `ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id) DO UPDATE
  SET run_id = EXCLUDED.run_id, parent_id = EXCLUDED.parent_id, head = EXCLUDED.head, metadata = EXCLUDED.metadata`;

const ONE_CHECKPOINT = `${INTO_CHECKPOINTS}
  SELECT $1::uuid, $3::uuid, ?::text, ?::text, ?::text, ?::json, ?::jsonb FROM fence
  ${OVER_CHECKPOINT}`;
const CHECKPOINTS = `${INTO_CHECKPOINTS}
  SELECT $1::uuid, $3::uuid, ns, id, parent_id, head::json, metadata::jsonb
  FROM fence, unnest(?::text[], ?::text[], ?::text[], ?::text[], ?::text[])
    WITH ORDINALITY AS r (ns, id, parent_id, head, metadata, ordinality)
  ORDER BY ordinality
  ${OVER_CHECKPOINT}`;
const BLOBS = `
  INSERT INTO checkpoint_blobs (thread_id, run_id, checkpoint_ns, channel, version, type, data)
  SELECT $1::uuid, $3::uuid, r.* FROM fence, unnest(?::text[], ?::text[], ?::text[], ?::text[], ?::text[]) AS r
  ON CONFLICT DO NOTHING`;
const WRITES = `
  INSERT INTO checkpoint_writes (thread_id, run_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, data)
  SELECT $1::uuid, coalesce($3::uuid, '${NO_RUN}'), r.*
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
