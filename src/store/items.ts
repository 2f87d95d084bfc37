/**
 * Long-term memory in Postgres: JSON values under a namespace (a list of labels) and a key. Graphs use it as
 * `config.store`, clients over HTTP; both see the same items.
 */
import { AppError } from '../errors.ts';
import { jsonbText } from '../postgres/jsonb.ts';
import type { Db } from '../postgres/pool.ts';

const SEARCH_LIMIT = 10;
const NAMESPACES_LIMIT = 100;

export class StoreInputError extends AppError {
  readonly code = 'input_invalid';
}

export interface Item {
  namespace: string[];
  key: string;
  value: Record<string, unknown>;
  createdAt: Date;
  updatedAt: Date;
}

export interface ItemKey {
  readonly namespace: readonly string[];
  readonly key: string;
}

export interface ItemSearch {
  /** Empty: everything. */
  readonly namespacePrefix: readonly string[];
  /** Field → value, or field → `{$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin}`; all must hold. */
  readonly filter?: Record<string, unknown> | undefined;
  readonly limit?: number | undefined;
  readonly offset?: number | undefined;
}

export interface NamespaceSearch {
  /** `*` matches any one label. */
  readonly prefix?: readonly string[] | undefined;
  readonly suffix?: readonly string[] | undefined;
  /** Longer namespaces are cut to this many labels. */
  readonly maxDepth?: number | undefined;
  readonly limit?: number | undefined;
  readonly offset?: number | undefined;
}

/** Postgres stores neither \u0000 nor a lone surrogate as text. */
const REFUSED_IN_TEXT = /\0|\p{Surrogate}/u;

interface Row {
  namespace: string[];
  key: string;
  value: Record<string, unknown>;
  created_at: Date;
  updated_at: Date;
}

const COMPARISONS = new Map([
  ['$eq', '='],
  ['$ne', 'IS DISTINCT FROM'],
  ['$gt', '>'],
  ['$gte', '>='],
  ['$lt', '<'],
  ['$lte', '<='],
]);

export class ItemStore {
  readonly #db: Db;

  constructor(db: Db) {
    this.#db = db;
  }

  async get(keys: readonly ItemKey[]): Promise<(Item | null)[]> {
    if (keys.length === 0) return [];
    const { rows } = await this.#db.query<Row>(
      `SELECT i.* FROM json_to_recordset($1) AS k (namespace text[], key text)
       JOIN store_items i ON i.namespace = k.namespace AND i.key = k.key`,
      [keysText(keys)],
    );
    const found = new Map(rows.map((row) => [idOf(row), itemOf(row)]));
    return keys.map((key) => found.get(idOf(key)) ?? null);
  }

  /**
   * Stores all of it in one statement; of two values for one key the last counts. `updated_at` grows by at
   * least a millisecond, so that clients can tell an overwrite.
   */
  async put(items: readonly (ItemKey & { value: Record<string, unknown> })[]): Promise<void> {
    if (items.length === 0) return;
    const last = [...new Map(items.map((item) => [idOf(item), item])).values()];
    const rows = last.map(({ namespace, key, value }) => {
      assertStorable([...namespace, key]);
      return { namespace, key, value: JSON.stringify(value), searchable: jsonbText(value) };
    });
    await this.#db.query(
      `INSERT INTO store_items (namespace, key, value, searchable, created_at, updated_at)
       SELECT namespace, key, value::json, searchable::jsonb, now, now
       FROM json_to_recordset($1) AS i (namespace text[], key text, value text, searchable text),
         date_trunc('milliseconds', clock_timestamp()) AS now
       ON CONFLICT (namespace, key) DO UPDATE SET value = EXCLUDED.value, searchable = EXCLUDED.searchable,
         updated_at = greatest(EXCLUDED.updated_at, store_items.updated_at + interval '1 millisecond')`,
      [JSON.stringify(rows)],
    );
  }

  async delete(keys: readonly ItemKey[]): Promise<void> {
    if (keys.length === 0) return;
    await this.#db.query(
      `DELETE FROM store_items i USING json_to_recordset($1) AS k (namespace text[], key text)
       WHERE i.namespace = k.namespace AND i.key = k.key`,
      [keysText(keys)],
    );
  }

  /** Last changed first. */
  async search(search: ItemSearch): Promise<Item[]> {
    const values: unknown[] = [];
    const param = (value: unknown): string => `$${values.push(value)}`;
    const where = [...prefixConditions(search.namespacePrefix, param)];
    for (const [field, expected] of Object.entries(search.filter ?? {}))
      where.push(...filterConditions(field, expected, param));
    const { rows } = await this.#db.query<Row>(
      `SELECT * FROM store_items ${where.length === 0 ? '' : `WHERE ${where.join(' AND ')}`}
       ORDER BY updated_at DESC, namespace, key
       LIMIT ${param(search.limit ?? SEARCH_LIMIT)} OFFSET ${param(search.offset ?? 0)}`,
      values,
    );
    return rows.map(itemOf);
  }

  async listNamespaces(search: NamespaceSearch): Promise<string[][]> {
    const values: unknown[] = [];
    const param = (value: unknown): string => `$${values.push(value)}`;
    const where: string[] = [];
    const match = (labels: readonly string[], at: (index: number) => string): void => {
      where.push(`cardinality(namespace) >= ${labels.length}`);
      labels.forEach((label, index) => {
        if (label !== '*') where.push(`namespace[${at(index)}] = ${param(label)}`);
      });
    };
    const { prefix = [], suffix = [] } = search;
    if (prefix.length > 0) match(prefix, (index) => String(index + 1));
    if (suffix.length > 0)
      match(suffix, (index) => `cardinality(namespace) - ${suffix.length - index - 1}`);
    const shown =
      search.maxDepth === undefined ? 'namespace' : `namespace[1:${param(search.maxDepth)}]`;
    const { rows } = await this.#db.query<{ shown: string[] }>(
      `SELECT DISTINCT ${shown} AS shown FROM store_items
       ${where.length === 0 ? '' : `WHERE ${where.join(' AND ')}`} ORDER BY shown
       LIMIT ${param(search.limit ?? NAMESPACES_LIMIT)} OFFSET ${param(search.offset ?? 0)}`,
      values,
    );
    return rows.map((row) => row.shown);
  }
}

type Param = (value: unknown) => string;

/** A range of the primary key: no label sorts between `a` and `a` + U+0001. */
function prefixConditions(prefix: readonly string[], param: Param): string[] {
  const last = prefix.at(-1);
  if (last === undefined) return [];
  assertStorable(prefix);
  return [
    `namespace >= ${param(prefix)}::text[]`,
    `namespace < ${param([...prefix.slice(0, -1), `${last}\u0001`])}::text[]`,
  ];
}

function filterConditions(field: string, expected: unknown, param: Param): string[] {
  const operators =
    typeof expected === 'object' && expected !== null && !Array.isArray(expected)
      ? Object.entries(expected)
      : [];
  const isComparison = operators.length > 0 && operators.every(([name]) => name.startsWith('$'));
  if (!isComparison) return [comparison(field, '=', expected, param)];
  return operators.map(([name, value]) => {
    if ((name === '$in' || name === '$nin') && Array.isArray(value)) {
      const any = value.map((one) => comparison(field, '=', one, param)).join(' OR ') || 'false';
      return name === '$in' ? `(${any})` : `NOT coalesce(${any}, false)`;
    }
    const operator = COMPARISONS.get(name);
    if (operator === undefined)
      throw new StoreInputError(
        `filter.${field}: unknown operator ${name}, expected one of ${[...COMPARISONS.keys()].join(', ')}, $in and $nin with a list`,
      );
    return comparison(field, operator, value, param);
  });
}

/** Ordered comparisons hold only between values of the same type: jsonb would order the types too. */
function comparison(field: string, operator: string, value: unknown, param: Param): string {
  // As parts of an object, so that what jsonb refuses is replaced as it was in the item.
  const wanted = `(${param(jsonbText({ [field]: value }))}::jsonb)`;
  const name = `(SELECT jsonb_object_keys(${wanted}))`;
  const compared = `searchable -> ${name} ${operator} ${wanted} -> ${name}`;
  if (operator === '=') return `(searchable @> ${wanted} AND ${compared})`;
  if (!/[<>]/.test(operator)) return `(${compared})`;
  return `(jsonb_typeof(searchable -> ${name}) = jsonb_typeof(${wanted} -> ${name}) AND ${compared})`;
}

function keysText(keys: readonly ItemKey[]): string {
  for (const { namespace, key } of keys) assertStorable([...namespace, key]);
  return JSON.stringify(keys.map(({ namespace, key }) => ({ namespace, key })));
}

function assertStorable(texts: readonly string[]): void {
  if (texts.some((text) => REFUSED_IN_TEXT.test(text)))
    throw new StoreInputError(
      'namespace and key: expected text without \\u0000 and lone surrogates',
    );
}

const idOf = ({ namespace, key }: ItemKey): string => JSON.stringify([namespace, key]);

const itemOf = (row: Row): Item => ({
  namespace: row.namespace,
  key: row.key,
  value: row.value,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
});
