/** Comparisons of conditions and filters. Numbers compare as numbers, also when they are written as text. */
import type { Operator } from './document.ts';
import { textOf } from './template.ts';

export function holds(left: unknown, operator: Operator, right: unknown): boolean {
  switch (operator) {
    case 'eq':
      return order(left, right) === 0;
    case 'ne':
      return order(left, right) !== 0;
    case 'gt':
      return order(left, right) > 0;
    case 'gte':
      return order(left, right) >= 0;
    case 'lt':
      return order(left, right) < 0;
    case 'lte':
      return order(left, right) <= 0;
    case 'contains':
      return contains(left, right);
    case 'not_contains':
      return !contains(left, right);
    case 'starts_with':
      return textOf(left).startsWith(textOf(right));
    case 'ends_with':
      return textOf(left).endsWith(textOf(right));
    case 'in':
      return contains(right, left);
    case 'exists':
      return isThere(left);
    case 'not_exists':
      return !isThere(left);
  }
}

const isThere = (value: unknown): boolean =>
  value !== undefined &&
  value !== null &&
  value !== '' &&
  !(Array.isArray(value) && value.length === 0);

function contains(whole: unknown, part: unknown): boolean {
  if (Array.isArray(whole)) return whole.some((each) => order(each, part) === 0);
  return textOf(whole).includes(textOf(part));
}

/** NaN when the two cannot be ordered: then no comparison but `ne` holds. */
function order(left: unknown, right: unknown): number {
  const [a, b] = [textOf(left), textOf(right)];
  if (a === b && typeof left === typeof right) return 0;
  const decimals = [decimalOf(left), decimalOf(right)] as const;
  if (decimals[0] !== undefined && decimals[1] !== undefined)
    return orderOfDecimals(decimals[0], decimals[1]);
  const oneIsNumber = typeof left === 'number' || typeof right === 'number';
  // 1e21 has no plain form here.
  const difference = oneIsNumber ? numberOf(left) - numberOf(right) : Number.NaN;
  if (!Number.isNaN(difference)) return difference;
  if (a === b) return 0;
  // A number and a word: unequal, neither is greater.
  if (oneIsNumber) return Number.NaN;
  return a < b ? -1 : 1;
}

/** Longer ones are words. */
const DECIMAL = /^-?\d{1,100}(?:\.\d{1,100})?$/;

/** A number as it is written. Not what else a double can be read from: `1e3` and `0x10` may be ids. */
function decimalOf(value: unknown): string | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  const text = String(value).trim();
  return DECIMAL.test(text) ? text : undefined;
}

/** Digit by digit: as doubles, long ids that differ would be equal. */
function orderOfDecimals(left: string, right: string): number {
  const places = Math.max(...[left, right].map((text) => fractionOf(text).length));
  const [a, b] = [left, right].map((text) =>
    BigInt(text.replace(/\..*$/, '') + fractionOf(text).padEnd(places, '0')),
  ) as [bigint, bigint];
  return a === b ? 0 : a < b ? -1 : 1;
}

const fractionOf = (text: string): string => text.split('.')[1] ?? '';

function numberOf(value: unknown): number {
  if (typeof value === 'number') return value;
  return typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN;
}
