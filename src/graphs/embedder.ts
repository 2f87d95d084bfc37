/** The embeddings function of a project (langgraph.json, `store.index.embed`), in the form the store uses. */
import type { Embedder } from '../store/semantic.ts';
import { GraphInvalidError } from './adapter.ts';
import type { ExportSpec } from './langgraph-json.ts';
import { loadExport } from './load.ts';

/** As LangChain's Embeddings have it. */
interface Embeddings {
  embedDocuments(texts: string[]): Promise<number[][]>;
  embedQuery(text: string): Promise<number[]>;
}

const isEmbeddings = (value: unknown): value is Embeddings =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value as Partial<Embeddings>).embedDocuments === 'function' &&
  typeof (value as Partial<Embeddings>).embedQuery === 'function';

/**
 * A function `(texts: string[]) => number[][]`, sync or async, or an object with embedDocuments and embedQuery.
 * @throws {GraphInvalidError}
 */
export async function loadEmbedder(spec: ExportSpec): Promise<Embedder> {
  const value = await loadExport(spec);
  if (isEmbeddings(value))
    return {
      documents: (texts) => value.embedDocuments([...texts]),
      query: (text) => value.embedQuery(text),
    };
  if (typeof value !== 'function')
    throw new GraphInvalidError(
      `${spec.origin}: expected a function of a list of texts, or an object with embedDocuments and embedQuery, found ${typeof value}`,
    );
  const embed = value as (texts: string[]) => number[][] | Promise<number[][]>;
  return {
    documents: async (texts) => embed([...texts]),
    query: async (text) => (await embed([text]))[0] ?? [],
  };
}
