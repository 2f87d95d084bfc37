/** Bodies and queries of assistants (HTTP.md, 3.1). */
import { z } from 'zod';
import { GraphId, Id, JsonObject, Limit, Offset, QueryFlag, Searchable, Text } from './common.ts';

export const AssistantCreate = z.strictObject({
  graph_id: GraphId,
  assistant_id: Id.nullish(),
  config: JsonObject.nullish(),
  context: JsonObject.nullish(),
  metadata: Searchable.nullish(),
  if_exists: z.enum(['raise', 'do_nothing']).nullish(),
  name: Text.nullish(),
  description: Text.nullish(),
});

export const AssistantPatch = z.strictObject({
  graph_id: GraphId.optional(),
  config: JsonObject.optional(),
  context: JsonObject.optional(),
  metadata: Searchable.optional(),
  name: Text.optional(),
  description: Text.nullish(),
});

const Filter = {
  metadata: Searchable.nullish(),
  graph_id: Text.nullish(),
  name: Text.nullish(),
};

export const AssistantSearchBody = z.strictObject({
  ...Filter,
  limit: Limit,
  offset: Offset,
  sort_by: z.enum(['assistant_id', 'graph_id', 'created_at', 'updated_at', 'name']).nullish(),
  sort_order: z.enum(['asc', 'desc']).nullish(),
  select: z.array(z.string()).nullish(),
});

export const AssistantCountBody = z.strictObject(Filter);

export const AssistantDeleteQuery = z.object({ delete_threads: QueryFlag.default(false) });

export const AssistantVersionsBody = z.strictObject({
  limit: Limit,
  offset: Offset,
  metadata: Searchable.nullish(),
});

/** As a column of Postgres counts. */
const VERSION_MAX = 2_147_483_647;
export const AssistantLatestBody = z.strictObject({
  version: z.number().int().min(1).max(VERSION_MAX),
});

export const AssistantGraphQuery = z.object({
  /** A number of levels, or all of them. */
  xray: z.union([z.coerce.number().int().min(0), QueryFlag]).default(false),
});

export const AssistantSubgraphsQuery = z.object({ recurse: QueryFlag.default(false) });

/** An assistant's id, or a graph's. */
export const AssistantPath = z.object({
  assistant_id: z.string(),
  namespace: z.string().optional(),
});
