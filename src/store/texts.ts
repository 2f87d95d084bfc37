/** The texts of a value that are made into vectors: those at the paths a project names. */

/** The whole value. */
const WHOLE = '$';
/** `a`, `*` or `[0]`, `[-1]`, `[*]` of `a.b[*].c`. */
const STEP = /\[(\*|-?\d+)\]|[^.[\]]+/g;

/**
 * @param path `$` for the value as JSON, or fields with dots; `[n]` and `[*]` for one and all of a list, `*` for all fields
 * @returns none when there is nothing at the path
 */
export function textsAt(value: unknown, path: string): string[] {
  if (path === WHOLE) return [JSON.stringify(value)];
  const steps = [...path.matchAll(STEP)].map(([name, index]) => ({ name, index }));
  let found: unknown[] = [value];
  for (const { name, index } of steps)
    found = found.flatMap((one) => (index === undefined ? field(one, name) : entry(one, index)));
  return found.flatMap(textOf);
}

function field(value: unknown, name: string): unknown[] {
  if (typeof value !== 'object' || value === null) return [];
  if (name === '*') return Object.values(value);
  return Object.hasOwn(value, name) ? [(value as Record<string, unknown>)[name]] : [];
}

function entry(value: unknown, index: string): unknown[] {
  if (!Array.isArray(value)) return [];
  if (index === '*') return value;
  const found: unknown = value.at(Number(index));
  return found === undefined ? [] : [found];
}

function textOf(value: unknown): string[] {
  if (value === null || value === undefined) return [];
  return [typeof value === 'string' ? value : JSON.stringify(value)];
}
