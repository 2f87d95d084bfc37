/** Single values out of threads, so that a list of conversations need not carry whole states. */
import { valuesAt } from '../lib/json-path.ts';

/** @param paths alias → path, e.g. `values.messages[-1].content`; with `*` a list, otherwise a value or null */
export function extract(
  row: object,
  paths: Readonly<Record<string, string>>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(paths).map(([alias, path]) => {
      const found = valuesAt(row, path);
      return [alias, path.includes('*') ? found : (found[0] ?? null)];
    }),
  );
}
