/** The texts of a value that are made into vectors: those at the paths a project names. */
import { valuesAt } from '../lib/json-path.ts';

/** The whole value. */
const WHOLE = '$';

/**
 * @param path `$` for the value as JSON, or as lib/json-path.ts has it
 * @returns none when there is nothing at the path
 */
export function textsAt(value: unknown, path: string): string[] {
  if (path === WHOLE) return [JSON.stringify(value)];
  return valuesAt(value, path).flatMap(textOf);
}

function textOf(value: unknown): string[] {
  if (value === null || value === undefined) return [];
  return [typeof value === 'string' ? value : JSON.stringify(value)];
}
