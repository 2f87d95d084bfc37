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
  const numbers = [numberOf(left), numberOf(right)] as const;
  if (!Number.isNaN(numbers[0]) && !Number.isNaN(numbers[1])) return numbers[0] - numbers[1];
  const [a, b] = [textOf(left), textOf(right)];
  if (a === b) return 0;
  // A number and a word: unequal, neither is greater.
  if (typeof left === 'number' || typeof right === 'number') return Number.NaN;
  return a < b ? -1 : 1;
}

function numberOf(value: unknown): number {
  if (typeof value === 'number') return value;
  return typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN;
}
