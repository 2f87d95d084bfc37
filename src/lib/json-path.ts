/** Parts of JSON values by paths like `a.b[*].c`. */

/** `a`, `*` or `[0]`, `[-1]`, `[*]`. */
const STEP = /\[(\*|-?\d+)\]|[^.[\]]+/g;

/**
 * @param path fields with dots; `[n]` and `[*]` for one and all of a list, negative ones from its end, `*` for all fields
 * @returns all that the path leads to; none when there is nothing
 */
export function valuesAt(value: unknown, path: string): unknown[] {
  let found: unknown[] = [value];
  for (const [name, index] of path.matchAll(STEP))
    found = found.flatMap((one) => (index === undefined ? field(one, name) : entry(one, index)));
  return found;
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
