/** Parts of a ThreadState, as `select` names them: fields, and single values as `values.<key>`. */
import type { ThreadState } from '../graphs/port.ts';
import { pick } from './respond.ts';

const VALUE = 'values.';

/** @param select undefined or null: everything */
export function selectOfState(
  state: ThreadState,
  select: readonly string[] | null | undefined,
): object {
  if (select == null) return state;
  const keys = new Set(
    select.filter((field) => field.startsWith(VALUE)).map((field) => field.slice(VALUE.length)),
  );
  const { values } = state;
  const whole = select.includes('values') || typeof values !== 'object' || values === null;
  const chosen = {
    ...state,
    values: whole
      ? values
      : Object.fromEntries(Object.entries(values).filter(([key]) => keys.has(key))),
    interrupts: state.tasks.flatMap(({ interrupts }) => interrupts),
  };
  const fields = select.map((field) => (field.startsWith(VALUE) ? 'values' : field));
  return pick(chosen, [...new Set(fields)]);
}
