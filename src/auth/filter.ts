/**
 * What a handler answers, as a verdict. A filter that is not fully understood refuses: leaving a condition out would
 * show what it was to hide. `undefined` as a value is such a case, a user without the field that is compared.
 */
import { EVERYTHING } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';
import { AuthFailedError, forbidden } from './refusal.ts';

type Scalar = string | number | boolean | null;

const UNSTORABLE = /\0|\p{Surrogate}/u;

const isScalar = (value: unknown): value is Scalar =>
  value === null ||
  typeof value === 'boolean' ||
  (typeof value === 'string' && !UNSTORABLE.test(value)) ||
  (typeof value === 'number' && Number.isFinite(value));

/**
 * @param answer null, undefined, true: everything. false: nothing. An object: rows whose metadata match it.
 * @throws {AuthRefusedError} 403
 * @throws {AuthFailedError} no such answer
 */
export function visibilityOf(answer: unknown): Visibility {
  if (answer === null || answer === undefined || answer === true) return EVERYTHING;
  if (answer === false) throw forbidden();
  if (typeof answer !== 'object' || Array.isArray(answer))
    throw new AuthFailedError(
      `expected null, undefined, a boolean or a filter, found ${typeof answer}`,
    );
  // A Map or a Headers has conditions that are no fields of it: it would show everything.
  if (Object.prototype.toString.call(answer) !== '[object Object]')
    throw new AuthFailedError('expected a filter that is a plain object');
  const conditions = Object.entries(answer).map(
    ([field, expected]) => [field, conditionOf(field, expected)] as const,
  );
  if (conditions.length === 0) return EVERYTHING;
  return { metadata: JSON.stringify(Object.fromEntries(conditions)) };
}

/** What the field must contain. */
function conditionOf(field: string, expected: unknown): Scalar | Scalar[] {
  if (UNSTORABLE.test(field)) throw notUnderstood(field);
  if (isScalar(expected)) return expected;
  if (typeof expected !== 'object' || Array.isArray(expected)) throw notUnderstood(field);
  const operators = Object.entries(expected);
  const [name, value] = operators[0] ?? [];
  if (operators.length === 1 && name === '$eq' && isScalar(value)) return value;
  if (operators.length === 1 && name === '$contains') {
    if (isScalar(value)) return [value];
    if (Array.isArray(value) && value.every(isScalar)) return value;
  }
  throw notUnderstood(field);
}

const notUnderstood = (field: string): AuthFailedError =>
  new AuthFailedError(
    `filter ${JSON.stringify(field)}: expected a text, number, boolean or null, {"$eq": one of these} or {"$contains": one or a list of these}`,
  );
