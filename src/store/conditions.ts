/** Searches as SQL: prefixes of namespaces and filters on fields of values. */
import { AppError } from '../errors.ts';
import { jsonbText } from '../postgres/jsonb.ts';

export class StoreInputError extends AppError {
  readonly code = 'input_invalid';
}

/** Adds a value to the statement. @returns its placeholder */
export type Param = (value: unknown) => string;

/** Postgres stores neither \u0000 nor a lone surrogate as text. */
const REFUSED_IN_TEXT = /\0|\p{Surrogate}/u;

/** Expired items are there until they are swept, and nobody sees them. */
export const LIVE = '(expires_at IS NULL OR expires_at > clock_timestamp())';

const COMPARISONS = new Map([
  ['$eq', '='],
  ['$ne', 'IS DISTINCT FROM'],
  ['$gt', '>'],
  ['$gte', '>='],
  ['$lt', '<'],
  ['$lte', '<='],
]);

/** A range of the primary key: no label sorts between `a` and `a` + U+0001. */
export function prefixConditions(prefix: readonly string[], param: Param): string[] {
  const last = prefix.at(-1);
  if (last === undefined) return [];
  assertStorable(prefix);
  return [
    `namespace >= ${param(prefix)}::text[]`,
    `namespace < ${param([...prefix.slice(0, -1), `${last}\u0001`])}::text[]`,
  ];
}

/** @throws {StoreInputError} for an unknown operator */
export function filterConditions(
  filter: Readonly<Record<string, unknown>>,
  param: Param,
): string[] {
  return Object.entries(filter).flatMap(([field, expected]) =>
    fieldConditions(field, expected, param),
  );
}

function fieldConditions(field: string, expected: unknown, param: Param): string[] {
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

/** @throws {StoreInputError} */
export function assertStorable(texts: readonly string[]): void {
  if (texts.some((text) => REFUSED_IN_TEXT.test(text)))
    throw new StoreInputError(
      'namespace and key: expected text without \\u0000 and lone surrogates',
    );
}
