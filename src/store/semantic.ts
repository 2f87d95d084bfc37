/**
 * Search by meaning: vectors of items' texts in Postgres, compared by pgvector. The extension and the
 * embeddings function are the project's to bring; when one of them is missing, items are stored without vectors
 * and a query is refused with what is missing.
 *
 * The table is made here and not by a migration, because its width is the project's and the extension may
 * be absent. There is no approximate index: a search compares all vectors under its namespace, exactly.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../errors.ts';
import { transaction } from '../postgres/pool.ts';
import type { Db, Pool } from '../postgres/pool.ts';
import { textsAt } from './texts.ts';

/** What is missing may have been mended: looked at again after this. */
const RECHECK_MS = 30_000;
const EMBED_TIMEOUT_MS = 30_000;
/** Texts given to the embeddings function at once. */
const EMBED_BATCH = 100;
/** Any number: the same in every process. */
const LOCK = 577_215_664;

export class SemanticSearchUnavailableError extends AppError {
  readonly code = 'semantic_search_unavailable';
}

export class EmbeddingFailedError extends AppError {
  readonly code = 'embedding_failed';
  override readonly retryable = true;
}

export interface Embedder {
  documents(texts: readonly string[]): Promise<number[][]>;
  query(text: string): Promise<number[]>;
}

export interface SemanticOptions {
  /** Numbers of one vector. */
  readonly dims: number;
  /** Paths of the texts that are indexed, when a put names none. */
  readonly fields: readonly string[];
  /** May reject; the message says what is wrong with the project. */
  load(): Promise<Embedder>;
}

export interface Vector {
  namespace: readonly string[];
  key: string;
  /** Which of the item's texts. */
  path: string;
  /** In pgvector's notation. */
  embedding: string;
}

interface Indexed {
  readonly namespace: readonly string[];
  readonly key: string;
  readonly value: Record<string, unknown>;
  readonly index?: false | readonly string[] | undefined;
}

type State = { embedder: Embedder } | { missing: string; until: number };

export class SemanticIndex {
  readonly #pool: Pool;
  readonly #options: SemanticOptions;
  #state: Promise<State> | undefined;

  constructor(pool: Pool, options: SemanticOptions) {
    this.#pool = pool;
    this.#options = options;
  }

  /** @returns what is missing; undefined when queries can be answered */
  async missing(): Promise<string | undefined> {
    const state = await this.#prepared();
    return 'missing' in state ? state.missing : undefined;
  }

  /** @throws {SemanticSearchUnavailableError | EmbeddingFailedError} */
  async embedQuery(query: string): Promise<string> {
    const state = await this.#prepared();
    if ('missing' in state) throw new SemanticSearchUnavailableError(unavailable(state.missing));
    const vector = await inTime(state.embedder.query(query));
    return this.#notation(vector);
  }

  /** The vectors of all items that are to have some. @throws {EmbeddingFailedError} */
  async embedItems(items: readonly Indexed[]): Promise<Vector[]> {
    const state = await this.#prepared();
    if ('missing' in state) return [];
    const texts = items.flatMap(({ namespace, key, value, index }) =>
      index === false
        ? []
        : (index ?? this.#options.fields).flatMap((path) =>
            textsAt(value, path).map((text, n) => ({ namespace, key, path: `${path}#${n}`, text })),
          ),
    );
    const vectors: Vector[] = [];
    for (let from = 0; from < texts.length; from += EMBED_BATCH) {
      const batch = texts.slice(from, from + EMBED_BATCH);
      const embeddings = await inTime(state.embedder.documents(batch.map(({ text }) => text)));
      if (embeddings.length !== batch.length)
        throw new EmbeddingFailedError(
          `the embeddings function made ${embeddings.length} vectors of ${batch.length} texts`,
        );
      batch.forEach(({ namespace, key, path }, n) => {
        vectors.push({ namespace, key, path, embedding: this.#notation(embeddings[n] ?? []) });
      });
    }
    return vectors;
  }

  /** Puts items and their vectors in one transaction: `put` locks the items' rows first. */
  async write(
    put: (db: Db) => Promise<unknown>,
    keysText: string,
    vectors: readonly Vector[],
  ): Promise<void> {
    if ((await this.missing()) !== undefined) {
      await put(this.#pool);
      return;
    }
    await transaction(this.#pool, async (db) => {
      await put(db);
      await db.query(
        `DELETE FROM store_vectors v USING json_to_recordset($1) AS k (namespace text[], key text)
         WHERE v.namespace = k.namespace AND v.key = k.key`,
        [keysText],
      );
      await db.query(
        `INSERT INTO store_vectors (namespace, key, path, embedding)
         SELECT namespace, key, path, embedding::vector
         FROM json_to_recordset($1) AS v (namespace text[], key text, path text, embedding text)
         ON CONFLICT DO NOTHING`,
        [JSON.stringify(vectors)],
      );
    });
  }

  async #prepared(): Promise<State> {
    this.#state ??= this.#prepare();
    const state = await this.#state;
    if ('missing' in state && Date.now() >= state.until) this.#state = undefined;
    return state;
  }

  async #prepare(): Promise<State> {
    let missing: string | undefined;
    try {
      missing = await this.#makeTable();
      if (missing === undefined) return { embedder: await this.#options.load() };
    } catch (error) {
      missing = error instanceof Error ? error.message : String(error);
    }
    return { missing, until: Date.now() + RECHECK_MS };
  }

  #makeTable(): Promise<string | undefined> {
    return transaction(this.#pool, async (db) => {
      await db.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
      const { rows: available } = await db.query(
        `SELECT 1 FROM pg_available_extensions WHERE name = 'vector'`,
      );
      if (available.length === 0)
        return 'the extension pgvector ("vector") is not installed on the Postgres server';
      await db.query('CREATE EXTENSION IF NOT EXISTS vector');
      const { dims } = this.#options;
      await db.query(
        `CREATE TABLE IF NOT EXISTS store_vectors (
           namespace text[] COLLATE "C" NOT NULL,
           key       text COLLATE "C" NOT NULL,
           path      text NOT NULL,
           embedding vector(${dims}) NOT NULL,
           PRIMARY KEY (namespace, key, path),
           FOREIGN KEY (namespace, key) REFERENCES store_items ON DELETE CASCADE
         )`,
      );
      const { rows } = await db.query<{ dims: number }>(
        `SELECT atttypmod AS dims FROM pg_attribute
         WHERE attrelid = 'store_vectors'::regclass AND attname = 'embedding'`,
      );
      const there = rows[0]?.dims;
      return there === dims
        ? undefined
        : `the table store_vectors holds vectors of ${there} numbers, store.index.dims is ${dims}`;
    });
  }

  #notation(vector: readonly number[]): string {
    const { dims } = this.#options;
    if (vector.length !== dims || !vector.every(Number.isFinite))
      throw new EmbeddingFailedError(
        `the embeddings function made a vector of ${vector.length} numbers, store.index.dims is ${dims}`,
      );
    return `[${vector.join(',')}]`;
  }
}

export const unavailable = (missing: string): string =>
  `Search by "query" is not available: ${missing}`;

async function inTime<T>(work: Promise<T>): Promise<T> {
  const limit = new AbortController();
  try {
    return await Promise.race([
      work,
      delay(EMBED_TIMEOUT_MS, undefined, { signal: limit.signal, ref: false }).then(() => {
        throw new EmbeddingFailedError(
          `the embeddings function took longer than ${EMBED_TIMEOUT_MS} ms`,
        );
      }),
    ]);
  } catch (cause) {
    if (cause instanceof EmbeddingFailedError) throw cause;
    throw new EmbeddingFailedError('the embeddings function failed', { cause });
  } finally {
    limit.abort();
  }
}
