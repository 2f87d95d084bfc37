/**
 * Long-term memory in Postgres: JSON values under a namespace (a list of labels) and a key. Graphs use it as
 * `config.store`, clients over HTTP; both see the same items.
 */
import { jsonbText } from '../postgres/jsonb.ts';
import type { Db } from '../postgres/pool.ts';
import { assertStorable, filterConditions, LIVE, prefixConditions } from './conditions.ts';
import { SemanticSearchUnavailableError, unavailable } from './semantic.ts';
import type { SemanticIndex } from './semantic.ts';

const SEARCH_LIMIT = 10;
const NAMESPACES_LIMIT = 100;
/** Expired items that one statement removes. */
const EXPIRED_MAX = 5_000;
const NO_INDEX = 'langgraph.json has no store.index with embed and dims';

export interface Item {
  namespace: string[];
  key: string;
  value: Record<string, unknown>;
  createdAt: Date;
  updatedAt: Date;
  /** How near the item is to the search's `query`: 1 is the same. */
  score?: number;
}

export interface ItemKey {
  readonly namespace: readonly string[];
  readonly key: string;
}

export interface ItemPut extends ItemKey {
  readonly value: Record<string, unknown>;
  /** The item is gone this long after it was put or last read. null: it stays. undefined: the project's default. */
  readonly ttlMinutes?: number | null | undefined;
  /** Paths of the texts that a `query` searches; false: none. undefined: the project's default. */
  readonly index?: false | readonly string[] | undefined;
}

export interface ItemSearch {
  /** Empty: everything. */
  readonly namespacePrefix: readonly string[];
  /** Field → value, or field → `{$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin}`; all must hold. */
  readonly filter?: Record<string, unknown> | undefined;
  /** Nearest in meaning first, by the vectors of the items. */
  readonly query?: string | undefined;
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

interface Row {
  namespace: string[];
  key: string;
  value: Record<string, unknown>;
  created_at: Date;
  updated_at: Date;
  ttl_minutes: number | null;
  score?: number;
}

export interface ItemStoreOptions {
  readonly ttl?: {
    /** For items whose put names none. */
    readonly defaultMinutes?: number | undefined;
    /** Whether a read starts an item's time anew; true unless given. */
    readonly refreshOnRead?: boolean | undefined;
  };
  readonly semantic?: SemanticIndex | undefined;
}

export class ItemStore {
  readonly #db: Db;
  readonly #options: ItemStoreOptions;

  constructor(db: Db, options: ItemStoreOptions = {}) {
    this.#db = db;
    this.#options = options;
  }

  /** @param refreshTtl whether the items' time starts anew; undefined: the project's default */
  async get(keys: readonly ItemKey[], refreshTtl?: boolean): Promise<(Item | null)[]> {
    if (keys.length === 0) return [];
    const { rows } = await this.#db.query<Row>(
      `SELECT i.* FROM json_to_recordset($1) AS k (namespace text[], key text)
       JOIN store_items i ON i.namespace = k.namespace AND i.key = k.key WHERE ${LIVE}`,
      [keysText(keys)],
    );
    await this.#refresh(rows, refreshTtl);
    const found = new Map(rows.map((row) => [idOf(row), itemOf(row)]));
    return keys.map((key) => found.get(idOf(key)) ?? null);
  }

  /**
   * Stores all of it at once; of two values for one key the last counts. `updated_at` grows by at
   * least a millisecond, so that clients can tell an overwrite.
   * @throws {StoreInputError | EmbeddingFailedError}
   */
  async put(items: readonly ItemPut[]): Promise<void> {
    if (items.length === 0) return;
    const { semantic, ttl } = this.#options;
    // In one order everywhere, so that two puts of the same keys never wait for each other.
    const last = [...new Map(items.map((item) => [idOf(item), item]))]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, item]) => item);
    const keys = keysText(last);
    const rows = last.map(({ namespace, key, value, ttlMinutes }) => ({
      namespace,
      key,
      value: JSON.stringify(value),
      searchable: jsonbText(value),
      ttl: ttlMinutes === undefined ? ttl?.defaultMinutes : ttlMinutes,
    }));
    const insert = (db: Db): Promise<unknown> => db.query(INSERT, [JSON.stringify(rows)]);
    if (semantic === undefined) await insert(this.#db);
    else await semantic.write(insert, keys, await semantic.embedItems(last));
  }

  async delete(keys: readonly ItemKey[]): Promise<void> {
    if (keys.length === 0) return;
    await this.#db.query(
      `DELETE FROM store_items i USING json_to_recordset($1) AS k (namespace text[], key text)
       WHERE i.namespace = k.namespace AND i.key = k.key`,
      [keysText(keys)],
    );
  }

  /**
   * Last changed first; with a query, nearest first.
   * @throws {StoreInputError | SemanticSearchUnavailableError | EmbeddingFailedError}
   */
  async search(search: ItemSearch, refreshTtl?: boolean): Promise<Item[]> {
    const values: unknown[] = [];
    const param = (value: unknown): string => `$${values.push(value)}`;
    const { query = '' } = search;
    const where = [LIVE, ...filterConditions(search.filter ?? {}, param)];
    const prefix = prefixConditions(search.namespacePrefix, param);
    const from = query === '' ? undefined : await this.#scored(query, prefix, param);
    const { rows } = await this.#db.query<Row>(
      `SELECT * FROM store_items ${from ?? ''} WHERE ${[...where, ...(from === undefined ? prefix : [])].join(' AND ')}
       ORDER BY ${from === undefined ? '' : 'score DESC, '}updated_at DESC, namespace, key
       LIMIT ${param(search.limit ?? SEARCH_LIMIT)} OFFSET ${param(search.offset ?? 0)}`,
      values,
    );
    await this.#refresh(rows, refreshTtl);
    return rows.map(itemOf);
  }

  /** An item's score is that of its nearest text. */
  async #scored(
    query: string,
    prefix: readonly string[],
    param: (value: unknown) => string,
  ): Promise<string> {
    const { semantic } = this.#options;
    if (semantic === undefined) throw new SemanticSearchUnavailableError(unavailable(NO_INDEX));
    const vector = param(await semantic.embedQuery(query));
    return `JOIN (
      SELECT namespace, key, max(1 - (embedding <=> ${vector}::vector)) AS score FROM store_vectors
      ${prefix.length === 0 ? '' : `WHERE ${prefix.join(' AND ')}`} GROUP BY namespace, key
    ) AS near USING (namespace, key)`;
  }

  /** Whether a `query` could be answered. @returns what is missing */
  async missingForQueries(): Promise<string | undefined> {
    const { semantic } = this.#options;
    return semantic === undefined ? NO_INDEX : semantic.missing();
  }

  async #refresh(rows: readonly Row[], refreshTtl: boolean | undefined): Promise<void> {
    if (!(refreshTtl ?? this.#options.ttl?.refreshOnRead ?? true)) return;
    const mortal = rows.filter((row) => row.ttl_minutes !== null);
    if (mortal.length === 0) return;
    await this.#db.query(
      `UPDATE store_items i SET expires_at = clock_timestamp() + i.ttl_minutes * interval '1 minute'
       FROM json_to_recordset($1) AS k (namespace text[], key text)
       WHERE i.namespace = k.namespace AND i.key = k.key AND ${LIVE}`,
      [keysText(mortal)],
    );
  }

  /** Removes a batch of what has outlived its time. @returns how many */
  async deleteExpired(): Promise<number> {
    const { rowCount } = await this.#db.query(
      `DELETE FROM store_items WHERE expires_at <= now() AND (namespace, key) IN (
         SELECT namespace, key FROM store_items WHERE expires_at <= now()
         LIMIT ${EXPIRED_MAX} FOR UPDATE SKIP LOCKED)`,
    );
    return rowCount ?? 0;
  }

  async listNamespaces(search: NamespaceSearch): Promise<string[][]> {
    const values: unknown[] = [];
    const param = (value: unknown): string => `$${values.push(value)}`;
    const where: string[] = [LIVE];
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
       WHERE ${where.join(' AND ')} ORDER BY shown
       LIMIT ${param(search.limit ?? NAMESPACES_LIMIT)} OFFSET ${param(search.offset ?? 0)}`,
      values,
    );
    return rows.map((row) => row.shown);
  }
}

/** An item that has outlived its time was gone: what is put in its place is new. */
const INSERT = `
  INSERT INTO store_items AS i (namespace, key, value, searchable, created_at, updated_at, ttl_minutes, expires_at)
  SELECT namespace, key, value::json, searchable::jsonb, now, now, ttl, now + ttl * interval '1 minute'
  FROM json_to_recordset($1) AS r (namespace text[], key text, value text, searchable text, ttl double precision),
    date_trunc('milliseconds', clock_timestamp()) AS now
  ON CONFLICT (namespace, key) DO UPDATE SET value = EXCLUDED.value, searchable = EXCLUDED.searchable,
    ttl_minutes = EXCLUDED.ttl_minutes, expires_at = EXCLUDED.expires_at,
    created_at = CASE WHEN i.expires_at <= EXCLUDED.updated_at THEN EXCLUDED.created_at ELSE i.created_at END,
    updated_at = greatest(EXCLUDED.updated_at, i.updated_at + interval '1 millisecond')`;

function keysText(keys: readonly ItemKey[]): string {
  for (const { namespace, key } of keys) assertStorable([...namespace, key]);
  return JSON.stringify(keys.map(({ namespace, key }) => ({ namespace, key })));
}

const idOf = ({ namespace, key }: ItemKey): string => JSON.stringify([namespace, key]);

const itemOf = (row: Row): Item => ({
  namespace: row.namespace,
  key: row.key,
  value: row.value,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  ...(row.score === undefined ? {} : { score: row.score }),
});
