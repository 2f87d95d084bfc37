/**
 * Assistants: a graph with its configuration, in versions. Wherever an assistant is named, a graph's id
 * does as well: it stands for the graph's default assistant, whose id follows from it.
 */
import { AppError } from '../errors.ts';
import { defaultAssistantId, isGuid } from '../ids.ts';
import { transaction } from '../postgres/pool.ts';
import type { Db, Pool } from '../postgres/pool.ts';
import { visibleSql } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';

export interface AssistantRow {
  assistant_id: string;
  graph_id: string;
  name: string;
  description: string | null;
  version: number;
  config: Record<string, unknown>;
  context: Record<string, unknown>;
  metadata: Record<string, unknown>;
  created_at: Date;
  updated_at: Date;
}
export type AssistantVersionRow = Omit<AssistantRow, 'updated_at'>;

export class AssistantNotFoundError extends AppError {
  readonly code = 'assistant_not_found';
}

export class AssistantExistsError extends AppError {
  readonly code = 'assistant_exists';
}

export interface AssistantFields {
  readonly graphId: string;
  readonly name: string;
  readonly description: string | null;
  readonly config: unknown;
  readonly context: unknown;
  readonly metadata: Record<string, unknown>;
}

const COLUMNS =
  'assistant_id, graph_id, name, description, version, config, context, metadata, created_at, updated_at';
const VERSIONED = 'assistant_id, version, graph_id, name, description, config, context, metadata';

/** @param named an assistant's id or a graph's id */
export const assistantIdOf = (named: string): string =>
  isGuid(named) ? named.toLowerCase() : defaultAssistantId(named);

/** Whether this id is that of the graph's default assistant, which only a server that has the graph makes. */
export const isDefaultAssistant = (assistantId: string, graphId: string): boolean =>
  assistantId.toLowerCase() === defaultAssistantId(graphId);

/** By graph: `context`, and the rest is the config. */
export type AssistantDefaults = Readonly<
  Record<string, Readonly<Record<string, unknown>> & { readonly context?: unknown }>
>;

/**
 * Makes the default assistants of a deployment's graphs where they are missing; any number of servers may do so
 * at once. `defaults` also reach those that are there, as long as nobody has made a version of their own. What a client made
 * under such an id before the graph was there goes: it began as another graph's, because of its own graph it cannot
 * be made (`isDefaultAssistant`).
 */
export async function ensureSystemAssistants(
  db: Db,
  graphIds: readonly string[],
  defaults: AssistantDefaults = {},
): Promise<void> {
  if (graphIds.length === 0) return;
  const rows = graphIds.map((graph) => {
    const { context, ...config } = defaults[graph] ?? {};
    return { id: defaultAssistantId(graph), graph, config, context: context ?? {} };
  });
  await db.query(
    `DELETE FROM assistants a USING json_to_recordset($1) AS d (id uuid, graph text)
     WHERE a.assistant_id = d.id AND EXISTS (SELECT 1 FROM assistant_versions v
       WHERE v.assistant_id = d.id AND v.version = 1 AND v.graph_id <> d.graph)`,
    [JSON.stringify(rows)],
  );
  await db.query(
    `WITH made AS (
       INSERT INTO assistants AS a (assistant_id, graph_id, name, metadata, config, context)
       SELECT d.id, d.graph, d.graph, '{"created_by": "system"}', coalesce(d.config, '{}'), coalesce(d.context, '{}')
       FROM json_to_recordset($1) AS d (id uuid, graph text, config json, context json) ORDER BY d.id
       ON CONFLICT (assistant_id) DO UPDATE SET config = EXCLUDED.config, context = EXCLUDED.context
         WHERE a.version = 1 AND a.graph_id = ANY($2)
           AND (a.config::text, a.context::text) <> (EXCLUDED.config::text, EXCLUDED.context::text)
       RETURNING *
     )
     INSERT INTO assistant_versions (${VERSIONED}) SELECT ${VERSIONED} FROM made
     ON CONFLICT (assistant_id, version) DO UPDATE SET config = EXCLUDED.config, context = EXCLUDED.context`,
    [JSON.stringify(rows), Object.keys(defaults)],
  );
}

/** @returns undefined when the id is taken */
export async function createAssistant(
  db: Db,
  assistantId: string,
  fields: AssistantFields,
): Promise<AssistantRow | undefined> {
  const { rows } = await db.query<AssistantRow>(
    `WITH made AS (
       INSERT INTO assistants (assistant_id, graph_id, name, description, config, context, metadata)
       VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING *
     ), versioned AS (
       INSERT INTO assistant_versions (${VERSIONED}) SELECT ${VERSIONED} FROM made
     )
     SELECT ${COLUMNS} FROM made`,
    [
      assistantId,
      fields.graphId,
      fields.name,
      fields.description,
      JSON.stringify(fields.config),
      JSON.stringify(fields.context),
      fields.metadata,
    ],
  );
  return rows[0];
}

/** @throws {AssistantNotFoundError} also when the caller may not see it */
export async function readAssistant(
  db: Db,
  named: string,
  visible: Visibility,
): Promise<AssistantRow> {
  const { rows } = await db.query<AssistantRow>(
    `SELECT ${COLUMNS} FROM assistants WHERE assistant_id = $1 AND ${visibleSql('metadata', '$2')}`,
    [assistantIdOf(named), visible.metadata],
  );
  return found(rows[0]);
}

function found<T>(row: T | undefined): T {
  if (row === undefined) throw new AssistantNotFoundError('Assistant not found');
  return row;
}

/**
 * Every change is a new version, also one that changes nothing. Metadata is merged, the rest replaced.
 * @throws {AssistantNotFoundError}
 */
export async function updateAssistant(
  pool: Pool,
  named: string,
  visible: Visibility,
  changes: { [field in keyof AssistantFields]?: AssistantFields[field] | undefined },
): Promise<AssistantRow> {
  const assistantId = assistantIdOf(named);
  return transaction(pool, async (db) => {
    const locked = await db.query(
      `SELECT 1 FROM assistants WHERE assistant_id = $1 AND ${visibleSql('metadata', '$2')} FOR UPDATE`,
      [assistantId, visible.metadata],
    );
    found(locked.rows[0]);
    const { rows } = await db.query<AssistantRow>(
      `WITH changed AS (
         UPDATE assistants SET graph_id = coalesce($2, graph_id), name = coalesce($3, name),
           description = CASE WHEN $4 THEN $5 ELSE description END,
           config = coalesce($6::json, config), context = coalesce($7::json, context),
           metadata = metadata || coalesce($8::jsonb, '{}'), updated_at = now(),
           version = 1 + (SELECT max(version) FROM assistant_versions WHERE assistant_id = $1)
         WHERE assistant_id = $1 RETURNING *
       ), versioned AS (
         INSERT INTO assistant_versions (${VERSIONED}) SELECT ${VERSIONED} FROM changed
       )
       SELECT ${COLUMNS} FROM changed`,
      [
        assistantId,
        changes.graphId,
        changes.name,
        changes.description !== undefined,
        changes.description,
        changes.config === undefined ? null : JSON.stringify(changes.config),
        changes.context === undefined ? null : JSON.stringify(changes.context),
        changes.metadata,
      ],
    );
    return found(rows[0]);
  });
}

/** Removes the assistant with its versions; what it ran stays with the threads. @throws {AssistantNotFoundError} */
export async function deleteAssistant(
  db: Db,
  assistantId: string,
  visible: Visibility,
): Promise<void> {
  const { rows } = await db.query(
    `DELETE FROM assistants WHERE assistant_id = $1 AND ${visibleSql('metadata', '$2')}
     RETURNING assistant_id`,
    [assistantId, visible.metadata],
  );
  found(rows[0]);
}

export interface AssistantSearch {
  readonly visible: Visibility;
  readonly graphId?: string | undefined;
  /** Part of the name, in any case. */
  readonly name?: string | undefined;
  readonly metadata?: Record<string, unknown> | undefined;
}

export interface AssistantPage {
  readonly limit: number;
  readonly offset: number;
  readonly sortBy: 'assistant_id' | 'graph_id' | 'created_at' | 'updated_at' | 'name';
  readonly sortOrder: 'asc' | 'desc';
}

const MATCHES = `($1::text IS NULL OR graph_id = $1)
  AND ($2::text IS NULL OR position(lower($2) IN lower(name)) > 0)
  AND ($3::jsonb IS NULL OR metadata @> $3) AND ${visibleSql('metadata', '$4')}`;

const matchValues = (search: AssistantSearch): unknown[] => [
  search.graphId,
  search.name,
  search.metadata,
  search.visible.metadata,
];

export async function searchAssistants(
  db: Db,
  search: AssistantSearch,
  page: AssistantPage,
): Promise<AssistantRow[]> {
  const { rows } = await db.query<AssistantRow>(
    `SELECT ${COLUMNS} FROM assistants WHERE ${MATCHES}
     ORDER BY ${page.sortBy} ${page.sortOrder}, assistant_id LIMIT $5 OFFSET $6`,
    [...matchValues(search), page.limit, page.offset],
  );
  return rows;
}

export async function countAssistants(db: Db, search: AssistantSearch): Promise<number> {
  const { rows } = await db.query<{ count: number }>(
    `SELECT count(*) FROM assistants WHERE ${MATCHES}`,
    matchValues(search),
  );
  return rows[0]?.count ?? 0;
}

/** Newest first. @throws {AssistantNotFoundError} when there is none */
export async function listVersions(
  db: Db,
  named: string,
  visible: Visibility,
  page: { limit: number; offset: number; metadata: Record<string, unknown> | undefined },
): Promise<AssistantVersionRow[]> {
  const { rows } = await db.query<AssistantVersionRow>(
    `SELECT ${VERSIONED}, created_at FROM assistant_versions
     WHERE assistant_id = $1 AND ($2::jsonb IS NULL OR metadata @> $2) AND ${visibleSql('metadata', '$5')}
       AND EXISTS (SELECT 1 FROM assistants a WHERE a.assistant_id = $1 AND ${visibleSql('a.metadata', '$5')})
     ORDER BY version DESC LIMIT $3 OFFSET $4`,
    [assistantIdOf(named), page.metadata, page.limit, page.offset, visible.metadata],
  );
  if (rows.length === 0) found(undefined);
  return rows;
}

/** Puts a version's name, config and metadata in use again. @throws {AssistantNotFoundError} */
export async function useVersion(
  db: Db,
  named: string,
  visible: Visibility,
  version: number,
): Promise<AssistantRow> {
  const { rows } = await db.query<AssistantRow>(
    `UPDATE assistants a SET version = v.version, name = v.name, config = v.config, metadata = v.metadata,
       updated_at = now()
     FROM assistant_versions v
     WHERE a.assistant_id = $1 AND v.assistant_id = $1 AND v.version = $2
       AND ${visibleSql('a.metadata', '$3')} AND ${visibleSql('v.metadata', '$3')}
     RETURNING ${COLUMNS.split(', ')
       .map((column) => `a.${column}`)
       .join(', ')}`,
    [assistantIdOf(named), version, visible.metadata],
  );
  const row = rows[0];
  if (row === undefined) throw new AssistantNotFoundError('Assistant version not found');
  return row;
}
