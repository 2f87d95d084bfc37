/**
 * Event data and state as JSON text. LangChain messages become their flat form (HTTP.md, section 2) in
 * the same pass that JSON.stringify makes anyway: a message's own toJSON would give the nested
 * `lc/kwargs` form, which no client understands. Messages are known by `toDict`, not by class, because a
 * project may bring its own copy of @langchain/core.
 *
 * Lone surrogates and control characters, \u0000 too, come out as JSON escapes.
 */
import { EventInvalidError } from '../lib/event-invalid.ts';

/** Values looked at to find that none is a message; in larger data the look would cost more than it saves. */
const PLAIN_PLACES_MAX = 64;
/** How deep the search for an offending key goes; data nested deeper is named by its prefix. */
const PATH_DEPTH_MAX = 100;

/** With its true type: undefined, functions, symbols and what a toJSON makes of itself have no text. */
const stringify: (data: unknown, replacer?: typeof flattenMessage) => string | undefined =
  JSON.stringify;

/**
 * @returns JSON text; `undefined` becomes `null`
 * @throws {EventInvalidError} naming the key of a BigInt, a cycle, or whatever refuses to be serialised
 */
export function encodeData(data: unknown): string {
  try {
    // Most events are a few plain fields: without a function to call at each of them JSON.stringify takes a third of the time.
    const text =
      placesLeft(data, PLAIN_PLACES_MAX) < 0 ? stringify(data, flattenMessage) : stringify(data);
    return text ?? 'null';
  } catch (cause) {
    const { path, reason } = findOffender(data, [], [], cause);
    throw new EventInvalidError(`cannot be serialised as JSON: ${path} ${reason}`, { cause });
  }
}

/** @returns how many of `places` are left after `value`; negative: too few, or it holds what must be looked at closely */
function placesLeft(value: unknown, places: number): number {
  if (typeof value !== 'object' || value === null) return places - 1;
  if (isMessage(value) || typeof (value as { toJSON?: unknown }).toJSON === 'function') return -1;
  let left = places - 1;
  for (const key in value) {
    if (left < 0) return -1;
    left = placesLeft((value as Record<string, unknown>)[key], left);
  }
  return left;
}

/** The value as plain JSON, as a client would parse it. */
export function toPlain(data: unknown): unknown {
  return JSON.parse(encodeData(data));
}

/** `this` is the holder: `value` went through toJSON already, the holder's has not. */
function flattenMessage(this: unknown, key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  // Messages mostly come in lists; flat before JSON.stringify meets them, their toJSON is never called (half the time).
  if (Array.isArray(value) && value.some(isMessage))
    return value.map((item: unknown) => (isMessage(item) ? flat(item) : item));
  const raw = (this as Record<string, unknown>)[key];
  return isMessage(raw) ? flat(raw) : value;
}

interface Message {
  toDict(): { type: string; data: Record<string, unknown> };
}

export function isMessage(value: unknown): value is Message {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as { toDict?: unknown }).toDict === 'function'
  );
}

export function flat(message: Message): Record<string, unknown> {
  const { type, data } = message.toDict();
  return { ...data, type };
}

interface Offender {
  path: string;
  reason: string;
}

/** Walks to the first value that JSON.stringify refuses. Only runs after it has refused something. */
function findOffender(
  value: unknown,
  path: readonly string[],
  ancestors: readonly unknown[],
  cause: unknown,
): Offender {
  const here = (reason: string): Offender => ({
    path: path.length === 0 ? 'the data' : `"${path.join('.')}"`,
    reason,
  });
  if (typeof value === 'bigint') return here('is a BigInt');
  if (typeof value === 'object' && value !== null && path.length < PATH_DEPTH_MAX) {
    if (ancestors.includes(value)) return here('refers to an object that contains it');
    for (const [key, child] of children(value)) {
      if (isRefused(child, [...ancestors, value]))
        return findOffender(child, [...path, key], [...ancestors, value], cause);
    }
  }
  return here(`is refused: ${cause instanceof Error ? cause.message : String(cause)}`);
}

function children(value: object): [string, unknown][] {
  try {
    if (isMessage(value)) return Object.entries(flat(value));
    const { toJSON } = value as { toJSON?: unknown };
    const plain: unknown = typeof toJSON === 'function' ? toJSON.call(value, '') : value;
    return typeof plain === 'object' && plain !== null ? Object.entries(plain) : [];
  } catch {
    return []; // a getter or toJSON that throws: the value itself is the offender
  }
}

function isRefused(value: unknown, ancestors: readonly unknown[]): boolean {
  if (ancestors.includes(value)) return true;
  try {
    JSON.stringify(value, flattenMessage);
    return false;
  } catch {
    return true;
  }
}
