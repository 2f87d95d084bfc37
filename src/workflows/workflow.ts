/** The rows of workflows: documents in versions. What is stored was validated (validate.ts). */
import { AppError } from '../errors.ts';
import type { Db } from '../postgres/pool.ts';
import { visibleSql } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';
import type { WorkflowDocument } from './document.ts';
import { parseDocument } from './validate.ts';

/** Deleted workflows are kept this long, for what still runs. */
const RETENTION_DAYS = 7;
const EXPIRED_MAX = 100;
/** Parsed documents that are kept. */
const CACHE_MAX = 100;

export class WorkflowNotFoundError extends AppError {
  readonly code = 'workflow_not_found';
}

export interface WorkflowRow {
  workflow_id: string;
  version: number;
  document: Record<string, unknown>;
  created_at: Date;
  updated_at: Date;
}

const COLUMNS = 'w.workflow_id, w.version, v.document, w.created_at, w.updated_at';
const JOINED = `workflows w JOIN workflow_versions v ON v.workflow_id = w.workflow_id AND v.version = w.version`;

function found<T>(row: T | undefined): T {
  if (row === undefined) throw new WorkflowNotFoundError('Workflow not found');
  return row;
}

/** As the client sent it, validated; with the metadata that say whose it is. */
export interface NewDocument {
  readonly document: Record<string, unknown>;
  readonly metadata: Record<string, unknown>;
}

export async function createWorkflow(
  db: Db,
  workflowId: string,
  { document, metadata }: NewDocument,
): Promise<WorkflowRow> {
  const { rows } = await db.query<WorkflowRow>(
    `WITH w AS (
       INSERT INTO workflows (workflow_id, name, metadata) VALUES ($1, $2, $4) RETURNING *
     ), v AS (
       INSERT INTO workflow_versions (workflow_id, version, document) VALUES ($1, 1, $3) RETURNING document
     )
     SELECT ${COLUMNS} FROM w, v`,
    [workflowId, document['name'], JSON.stringify(document), metadata],
  );
  return found(rows[0]);
}

/**
 * A new version. Executions under way go on with theirs.
 * @throws {WorkflowNotFoundError} also when the caller may not see it
 */
export async function replaceWorkflow(
  db: Db,
  workflowId: string,
  visible: Visibility,
  { document, metadata }: NewDocument,
): Promise<WorkflowRow> {
  const { rows } = await db.query<WorkflowRow>(
    `WITH w AS (
       UPDATE workflows SET name = $2, version = version + 1, metadata = metadata || $4, updated_at = now()
       WHERE workflow_id = $1 AND deleted_at IS NULL AND ${visibleSql('metadata', '$5')} RETURNING *
     ), v AS (
       INSERT INTO workflow_versions (workflow_id, version, document)
       SELECT workflow_id, version, $3 FROM w RETURNING document
     )
     SELECT ${COLUMNS} FROM w, v`,
    [workflowId, document['name'], JSON.stringify(document), metadata, visible.metadata],
  );
  return found(rows[0]);
}

/** @throws {WorkflowNotFoundError} also when the caller may not see it */
export async function readWorkflow(
  db: Db,
  workflowId: string,
  visible: Visibility,
): Promise<WorkflowRow> {
  const { rows } = await db.query<WorkflowRow>(
    `SELECT ${COLUMNS} FROM ${JOINED} WHERE w.workflow_id = $1 AND w.deleted_at IS NULL
       AND ${visibleSql('w.metadata', '$2')}`,
    [workflowId, visible.metadata],
  );
  return found(rows[0]);
}

/** Newest first. */
export async function listWorkflows(
  db: Db,
  visible: Visibility,
  page: { limit: number; offset: number },
): Promise<{ rows: WorkflowRow[]; total: number }> {
  const [{ rows }, counted] = await Promise.all([
    db.query<WorkflowRow>(
      `SELECT ${COLUMNS} FROM ${JOINED} WHERE w.deleted_at IS NULL
         AND ${visibleSql('w.metadata', '$3')}
       ORDER BY w.created_at DESC, w.workflow_id LIMIT $1 OFFSET $2`,
      [page.limit, page.offset, visible.metadata],
    ),
    db.query<{ count: number }>(
      `SELECT count(*) FROM workflows WHERE deleted_at IS NULL AND ${visibleSql('metadata', '$1')}`,
      [visible.metadata],
    ),
  ]);
  return { rows, total: counted.rows[0]?.count ?? 0 };
}

/** @throws {WorkflowNotFoundError} also when the caller may not see it */
export async function deleteWorkflow(
  db: Db,
  workflowId: string,
  visible: Visibility,
): Promise<void> {
  const { rows } = await db.query(
    `UPDATE workflows SET deleted_at = now() WHERE workflow_id = $1 AND deleted_at IS NULL
       AND ${visibleSql('metadata', '$2')} RETURNING 1`,
    [workflowId, visible.metadata],
  );
  found(rows[0]);
}

/** @returns how many were removed */
export async function deleteExpiredWorkflows(db: Db): Promise<number> {
  const { rowCount } = await db.query(
    `DELETE FROM workflows WHERE workflow_id IN (
       SELECT w.workflow_id FROM workflows w
       WHERE w.deleted_at < now() - $1 * interval '1 day' AND NOT EXISTS (
         SELECT 1 FROM runs r WHERE r.metadata ? 'workflow_id'
           AND r.metadata ->> 'workflow_id' = w.workflow_id::text AND r.status IN ('pending', 'running'))
       LIMIT $2)`,
    [RETENTION_DAYS, EXPIRED_MAX],
  );
  return rowCount ?? 0;
}

/** Documents by workflow and version, read once: a version never changes. */
export interface Documents {
  /** @throws {WorkflowNotFoundError | DocumentInvalidError} */
  get(workflowId: string, version: number): Promise<WorkflowDocument>;
}

export function createDocuments(db: Db): Documents {
  const cache = new Map<string, WorkflowDocument>();
  return {
    async get(workflowId, version) {
      const key = `${workflowId} ${version}`;
      const known = cache.get(key);
      if (known !== undefined) return known;
      const { rows } = await db.query<{ document: unknown }>({
        name: 'workflow-version',
        text: 'SELECT document FROM workflow_versions WHERE workflow_id = $1 AND version = $2',
        values: [workflowId, version],
      });
      const document = parseDocument(found(rows[0]).document);
      if (cache.size >= CACHE_MAX) cache.delete(cache.keys().next().value ?? '');
      cache.set(key, document);
      return document;
    },
  };
}
