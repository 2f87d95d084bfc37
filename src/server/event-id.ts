/**
 * Ids of a run's events as clients see them: `0`, `1`, `2`, … and from the second attempt on
 * `<n>-<attempt>`. The number counts from the run's first event; the attempt tells, when the client comes
 * back, which of two events with the same number it has seen.
 */

export interface EventId {
  /** 0 is the run's first event; -1 in a rewind to before it. */
  readonly n: number;
  readonly attempt: number;
}

export const formatEventId = (n: number, attempt: number): string =>
  attempt === 1 ? String(n) : `${n}-${attempt}`;

const EVENT_ID = /^(0|[1-9]\d{0,14})(?:-([2-9]|[1-9]\d{1,8}))?$/;

/** @returns null for `-1` and `-1-<attempt>`: from the start; undefined for what is no id */
export function parseEventId(text: string): EventId | null | undefined {
  if (/^-1(-\d{1,9})?$/.test(text)) return null;
  const match = EVENT_ID.exec(text);
  if (match === null) return undefined;
  return { n: Number(match[1]), attempt: Number(match[2] ?? 1) };
}
