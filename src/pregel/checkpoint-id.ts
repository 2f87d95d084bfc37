/**
 * Ids: of checkpoints (they sort by creation) and of tasks (the same on every attempt).
 *
 * Checkpoint ids are UUIDs of version 6, as LangGraph's are, so that both runtimes' checkpoints
 * of one thread sort together. An id is always above its parent's, whatever the clocks of two
 * workers say: "the latest checkpoint" must be the child.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Clock } from './clock.ts';

/** 100 ns ticks from 1582-10-15 to 1970-01-01. */
const GREGORIAN_TICKS = 0x01b21dd213814000n;
const TICKS_PER_MS = 10_000n;

// Random once per process: a node id with the multicast bit, as RFC 9562 wants for random ones.
const node = randomBytes(8);
node[0] = ((node[0] ?? 0) & 0x3f) | 0x80;
node[2] = (node[2] ?? 0) | 0x01;
const TAIL = `${node.subarray(0, 2).toString('hex')}-${node.subarray(2).toString('hex')}`;

let lastTicks = 0n;

/** @param parent the id that the new one must sort after */
export function newCheckpointId(clock: Clock, parent?: string): string {
  let ticks = BigInt(Math.floor(clock.now())) * TICKS_PER_MS + GREGORIAN_TICKS;
  if (ticks <= lastTicks) ticks = lastTicks + 1n;
  if (parent !== undefined) {
    const after = ticksOf(parent);
    if (after !== undefined && ticks <= after) ticks = after + 1n;
  }
  lastTicks = ticks;
  const hex = ticks.toString(16).padStart(15, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-6${hex.slice(12)}-${TAIL}`;
}

function ticksOf(id: string): bigint | undefined {
  if (id.length !== 36 || id[14] !== '6') return undefined;
  const hex = id.slice(0, 8) + id.slice(9, 13) + id.slice(15, 18);
  return /^[0-9a-f]{15}$/.test(hex) ? BigInt(`0x${hex}`) : undefined;
}

const sha1 = (text: string): string => createHash('sha1').update(text).digest('hex');

/** A UUID that depends on its parts only. */
export function derivedId(...parts: readonly (string | number)[]): string {
  const hex = sha1(parts.join('\u0000'));
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** 32 hex digits: the id of the interrupts of one task. */
export const interruptIdOf = (taskNamespace: string): string => sha1(taskNamespace).slice(0, 32);

const INTERRUPT_ID = /^[0-9a-f]{32}$/;
/** True when every key is an interrupt id: the value is a map of answers, not an answer. */
export function isResumeMap(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const keys = Object.keys(value);
  return keys.length > 0 && keys.every((key) => INTERRUPT_ID.test(key));
}
