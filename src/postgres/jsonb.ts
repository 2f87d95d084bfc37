/**
 * Values on their way into a jsonb column. jsonb holds strings that Postgres can hold, so it refuses \u0000
 * and lone surrogates, which JSON and clients allow. Columns that give back what a client sent are json
 * or text; jsonb is for searching, and what it refuses becomes U+FFFD, in what is stored and what is searched.
 */

/** What jsonb cannot hold, as JSON.stringify writes it: \u0000 and lone surrogates. */
const REFUSED_BY_JSONB = /\\u(0000|d[89a-f])/;
const REFUSED = /\u0000|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** JSON text that jsonb takes: the characters it refuses become U+FFFD, in keys too. */
export function jsonbText(value: Record<string, unknown>): string {
  const text = JSON.stringify(value);
  if (!REFUSED_BY_JSONB.test(text)) return text;
  return JSON.stringify(clean(JSON.parse(text)));
}

function clean(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll(REFUSED, '\ufffd');
  if (Array.isArray(value)) return value.map(clean);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [key.replaceAll(REFUSED, '\ufffd'), clean(child)]),
  );
}
