/** The parts of which the schemas of bodies, queries and paths are made. */
import { z } from 'zod';
import { isReservedGraph } from '../../graphs/reserved.ts';

/** Largest page. */
export const LIMIT_MAX = 1_000;
const OFFSET_MAX = 1_000_000_000;
const TEXT_LENGTH_MAX = 10_000;

/** Lower case, as Postgres gives ids back and the log's keys have them. */
export const Id = z.guid('expected a UUID').transform((id) => id.toLowerCase());

/** Any JSON object; keys and values as they come. */
export const JsonObject = z.record(z.string(), z.unknown());

// \u0000 and lone surrogates: Postgres takes neither in text nor in jsonb.
const UNSTORABLE = /\0|\p{Surrogate}/u;
const MESSAGE = 'expected text without \\u0000 and without lone surrogates';

/** Goes to a text column. */
export const Text = z
  .string()
  .max(TEXT_LENGTH_MAX)
  .refine((text) => !UNSTORABLE.test(text), MESSAGE);

/** As JSON.stringify writes what jsonb refuses; also matches harmless text, so it only picks what to look at. */
const SUSPICIOUS = /\\u(0000|d[89a-f])/;

/** A JSON object that is searched for, and so goes to a jsonb column. */
export const Searchable = JsonObject.superRefine((value, context) => {
  if (!SUSPICIOUS.test(JSON.stringify(value))) return;
  const path = unstorablePath(value);
  if (path !== undefined) context.addIssue({ code: 'custom', path, message: MESSAGE });
});

function unstorablePath(value: unknown): string[] | undefined {
  if (typeof value === 'string') return UNSTORABLE.test(value) ? [] : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, child] of Object.entries(value)) {
    if (UNSTORABLE.test(key)) return [key];
    const path = unstorablePath(child);
    if (path !== undefined) return [key, ...path];
  }
  return undefined;
}

const RESERVED =
  'expected the id of a graph of langgraph.json: those that begin with __ are reserved';

/** A graph that an assistant may be made of. */
export const GraphId = Text.min(1).refine((id) => !isReservedGraph(id), RESERVED);

/** Of a thread: `graph_id` among them says whose states it has. */
export const ThreadMetadata = Searchable.refine(
  ({ graph_id: graphId }) => !isReservedGraph(graphId),
  { message: RESERVED, path: ['graph_id'] },
);

export const Limit = z.number().int().min(1).max(LIMIT_MAX).default(10);
export const Offset = z.number().int().min(0).max(OFFSET_MAX).default(0);
export const QueryLimit = z.coerce.number().int().min(1).max(LIMIT_MAX).default(10);
export const QueryOffset = z.coerce.number().int().min(0).max(OFFSET_MAX).default(0);
/** `1`, `0`, `true`, `false`. */
export const QueryFlag = z.stringbool({ truthy: ['1', 'true'], falsy: ['0', 'false'] });

/** One value or several, `a` or `?k=a&k=b`. */
export const listOf = <T extends z.ZodType>(item: T): z.ZodType<z.output<T>[]> =>
  z.preprocess(
    (value) => (value === undefined || Array.isArray(value) ? value : [value]),
    z.array(item),
  );
