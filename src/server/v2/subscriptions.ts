/** The subscriptions of one connection: what each wants, and up to where each has it. */
import type { LogBatch, Position } from '../../events/event.ts';
import type { ProtocolEventType } from '../../protocol/event.ts';
import { matches } from '../../protocol/filter.ts';
import type { Filter } from '../../protocol/filter.ts';

interface Subscription {
  readonly filter: Filter;
  /** Its answer is out, so events may be. */
  begun: boolean;
  /** Everything up to here has been passed on, or does not match. */
  seq: number;
  /** Term of the event at seq; undefined: it has nothing that could be lost. */
  term: number | undefined;
}

export interface Subscriptions {
  readonly size: number;
  /** Of what has begun, nothing asks for more than how runs begin, ask and end. */
  readonly endsOnly: boolean;
  add(id: string, filter: Filter): void;
  begin(id: string): void;
  /** @returns false when there is no such subscription */
  remove(id: string): boolean;
  /** Where to read on, so that each gets what it lacks; undefined: from the start. */
  lowest(): Position | undefined;
  /** Takes note of an event. @returns whether somebody wants it and does not have it */
  pass(seq: number, term: number, type: ProtocolEventType | undefined): boolean;
  /** The last seq that is still what subscriptions have, when the batch shows that some have lost events. */
  lost(batch: LogBatch): number | undefined;
  /** What is after `to` was lost. */
  rewind(to: number): void;
}

/** What clients watch runs by. */
const OF_ENDS = new Set(['lifecycle', 'input']);

export function createSubscriptions(): Subscriptions {
  const all = new Map<string, Subscription>();
  return {
    get size() {
      return all.size;
    },
    get endsOnly() {
      return [...all.values()].every(
        ({ begun, filter }) => !begun || filter.channels.every((name) => OF_ENDS.has(name)),
      );
    },
    add(id, filter) {
      all.set(id, { filter, begun: false, seq: 0, term: undefined });
    },
    begin(id) {
      const subscription = all.get(id);
      if (subscription !== undefined) subscription.begun = true;
    },
    remove: (id) => all.delete(id),
    lowest() {
      let lowest: Subscription | undefined;
      for (const one of all.values())
        if (one.begun && (lowest === undefined || one.seq < lowest.seq)) lowest = one;
      if (lowest === undefined || lowest.seq === 0 || lowest.term === undefined) return undefined;
      return { seq: lowest.seq, term: lowest.term };
    },
    pass(seq, term, type) {
      let wanted = false;
      for (const one of all.values()) {
        if (!one.begun || seq <= one.seq) continue;
        one.seq = seq;
        one.term = term;
        if (type !== undefined && !wanted) wanted = matches(one.filter, type);
      }
      return wanted;
    },
    lost({ first, term }) {
      const stale = [...all.values()].some(
        (one) => one.term !== undefined && one.term < term && one.seq >= first,
      );
      return stale ? first - 1 : undefined;
    },
    rewind(to) {
      for (const one of all.values())
        if (one.seq > to) {
          one.seq = to;
          one.term = undefined;
        }
    },
  };
}
