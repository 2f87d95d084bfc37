/** The store as the project has configured it (langgraph.json, `store`): how long items live, what is searched by meaning. */
import type { Pool } from '../postgres/pool.ts';
import { ItemStore } from '../store/items.ts';
import { SemanticIndex } from '../store/semantic.ts';
import { GraphInvalidError } from './adapter.ts';
import { loadEmbedder } from './embedder.ts';
import type { StoreSpec } from './langgraph-json.ts';

export function createProjectStore(pool: Pool, spec: StoreSpec | undefined): ItemStore {
  const { index, ttl } = spec ?? { ttl: {} };
  if (index === undefined) return new ItemStore(pool, { ttl });
  const { embed, dims, fields } = index;
  const semantic = new SemanticIndex(pool, {
    dims,
    fields,
    load: () =>
      typeof embed === 'string'
        ? Promise.reject(new GraphInvalidError(embed))
        : loadEmbedder(embed),
  });
  return new ItemStore(pool, { ttl, semantic });
}
