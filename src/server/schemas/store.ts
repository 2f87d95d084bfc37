/** Bodies and queries of the store (HTTP.md, 3.5). What a namespace may be is said in namespace.ts. */
import { z } from 'zod';
import { JsonObject, Limit, LIMIT_MAX, listOf, Offset, QueryFlag, Text } from './common.ts';

/** A hundred years. */
const TTL_MINUTES_MAX = 52_560_000;
const QUERY_LENGTH_MAX = 100_000;
/** Of namespace and key: together one row of an index, which takes 2,704, of which a hundred labels need 800. */
const PLACE_BYTES_MAX = 1_900;

/** Missing and empty ones are answered with text, not with a list of issues. */
const Labels = z.array(z.string()).nullish();

export const ItemPutBody = z
  .strictObject({
    namespace: Labels,
    key: Text.min(1),
    value: JsonObject,
    /** Paths of the texts that a `query` searches; false: none. */
    index: z.union([z.literal(false), z.array(z.string().min(1)).min(1)]).nullish(),
    /** Minutes; null: it stays, missing: as the project has it. */
    ttl: z.number().positive().max(TTL_MINUTES_MAX).nullish(),
  })
  .superRefine(({ namespace, key }, context) => {
    const labels = Buffer.byteLength((namespace ?? []).join(''));
    const bytes = labels + Buffer.byteLength(key);
    if (bytes <= PLACE_BYTES_MAX) return;
    context.addIssue({
      code: 'custom',
      path: [labels > PLACE_BYTES_MAX ? 'namespace' : 'key'],
      message: `expected namespace and key of at most ${PLACE_BYTES_MAX} bytes together, found ${bytes}`,
    });
  });

export const ItemQuery = z.object({
  /** Labels joined by dots, or one by one. */
  namespace: listOf(z.string()).optional(),
  key: Text.min(1),
  refresh_ttl: QueryFlag.optional(),
});

export const ItemDeleteBody = z.strictObject({ namespace: Labels, key: Text.min(1) });

export const ItemSearchBody = z.strictObject({
  namespace_prefix: z.array(z.string()),
  filter: JsonObject.nullish(),
  limit: Limit,
  offset: Offset,
  query: z.string().max(QUERY_LENGTH_MAX).nullish(),
  refresh_ttl: z.boolean().nullish(),
});

export const NamespacesBody = z.strictObject({
  prefix: z.array(z.string()).nullish(),
  suffix: z.array(z.string()).nullish(),
  max_depth: z.number().int().min(1).max(LIMIT_MAX).nullish(),
  limit: z.number().int().min(1).max(LIMIT_MAX).default(100),
  offset: Offset,
});
