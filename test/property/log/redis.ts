/**
 * One thread's keys in Redis: a hash and a stream. Every script is atomic and replaces the state as a
 * whole, so that a fault can put any earlier state back (a replica or an AOF that was behind).
 */
import type { LogEvent } from './postgres.ts';
import type { Random } from './random.ts';
import type { Rules } from './rules.ts';

interface Meta {
  readonly term: number;
  readonly last: number;
  /** Seqs up to here are not this term's. */
  readonly base: number;
  /** The archived watermark: never above Postgres' `archived_seq`. */
  readonly archived: number;
  readonly closed: boolean;
  /** A claim raised the fence, its term has not begun yet. */
  readonly shut: boolean;
}
interface State {
  readonly meta: Meta | undefined;
  readonly stream: readonly LogEvent[];
}
export interface Redis {
  state: State;
  /** Cannot be reached; its data may be intact. */
  away: boolean;
  /** How often it lost data. */
  losses: number;
  readonly past: State[];
}

export interface Append {
  readonly kind: 'append';
  readonly term: number;
  readonly events: readonly LogEvent[];
  readonly open: boolean;
  readonly close: boolean;
}
/** `start` is undefined in a claim, step (b); else the start of the term that is reopened. */
export interface Reopen {
  readonly kind: 'reopen';
  readonly term: number;
  readonly archived: number;
  readonly logTerm: number;
  readonly start: number | undefined;
}
/** BACKPRESSURE and CANCELLED write nothing and change no rule here: they are left out. */
export type Answer = 'OK' | 'DUP' | 'GAP' | 'BEHIND' | 'FENCED' | 'REOPEN' | 'CLOSED';
export interface AppendReply {
  readonly answer: Answer;
  readonly last: number;
  readonly archived: number;
}

export function createRedis(): Redis {
  return { state: { meta: undefined, stream: [] }, away: false, losses: 0, past: [] };
}
function set(redis: Redis, meta: Meta, stream: readonly LogEvent[]): void {
  redis.past.push(redis.state);
  redis.state = { meta, stream };
}

export function append(redis: Redis, rules: Rules, request: Append): AppendReply {
  const { term, events, open, close } = request;
  let { meta, stream } = redis.state;
  const first = events[0]?.seq ?? 0;
  const end = first + events.length - 1;
  const reply = (answer: Answer): AppendReply => ({
    answer,
    last: meta?.last ?? 0,
    archived: meta?.archived ?? 0,
  });

  const stored = meta?.term ?? 0;
  if (rules.appendFence && term < stored) return reply('FENCED');
  const startOver = term > stored || (term === stored && meta?.shut === true);
  if (startOver || (open && !rules.openOnlyOnce)) {
    if (!open && rules.openNeedsFlag) return reply('REOPEN');
    const before = first - 1;
    meta = { term, last: before, base: before, archived: before, closed: false, shut: false };
    stream = [];
  }
  if (!meta) return reply('REOPEN');
  if (rules.appendBase && first <= meta.base) return reply('BEHIND');
  if (rules.appendChecksTop && meta.last > meta.archived && stream.at(-1)?.seq !== meta.last)
    return reply('REOPEN');
  if (rules.appendDup && end <= meta.last) return reply('DUP');
  if (rules.appendClosed && meta.closed) return reply('CLOSED');
  if (rules.appendGap && first > meta.last + 1) return reply('GAP');

  const above = meta.last;
  const fresh = rules.appendDup
    ? events.filter((event) => event.seq > above)
    : events.map((event, i) => ({ ...event, seq: above + 1 + i }));
  meta = { ...meta, last: fresh.at(-1)?.seq ?? above, closed: close };
  set(redis, meta, [...stream, ...fresh]);
  return reply('OK');
}

/** Undefined: fenced. */
export function reopen(
  redis: Redis,
  rules: Rules,
  request: Reopen,
): { tail: readonly LogEvent[]; last: number } | undefined {
  const { term, logTerm, start } = request;
  const { meta, stream } = redis.state;
  if (rules.reopenFence && meta && meta.term > term) return undefined;
  const isClaim = start === undefined;
  const from =
    rules.tailFromWatermark && meta ? Math.max(request.archived, meta.archived) : request.archived;
  const tail: LogEvent[] = [];
  let last = from;
  for (const event of stream) {
    if (event.seq <= from) continue;
    if (rules.tailDense && event.seq !== last + 1) break;
    if (rules.tailTerm && event.term !== logTerm) break;
    tail.push(event);
    last = event.seq;
  }
  if (isClaim && rules.reopenOnce && meta?.term === term) return { tail, last };
  set(
    redis,
    {
      term,
      last,
      base: isClaim ? last : start - 1,
      archived: from,
      closed: false,
      shut: isClaim && rules.claimLeavesShut,
    },
    rules.tailKept ? tail : [],
  );
  return { tail, last };
}

/** The archiver's, after its commit: `archived` is Postgres' `archived_seq` at that time. */
export function trim(redis: Redis, rules: Rules, archived: number): void {
  const { meta, stream } = redis.state;
  if (!meta) return;
  const watermark = Math.max(meta.archived, archived);
  const upTo = rules.trimWatermark ? watermark : meta.last - 2;
  set(
    redis,
    { ...meta, archived: watermark },
    stream.filter((event) => event.seq > upTo),
  );
}

/** A fault. Returns what happened. */
export function lose(redis: Redis, random: Random): string {
  redis.losses += 1;
  const { meta, stream } = redis.state;
  const kind = random.below(10);
  if (kind === 0) {
    redis.state = { meta: undefined, stream: [] };
    return 'everything';
  }
  if (kind === 1) {
    redis.state = { meta: undefined, stream };
    return 'its hash';
  }
  if (kind === 2) {
    redis.state = { meta, stream: [] };
    return 'its stream';
  }
  if (kind < 5 && meta) {
    const lost = Math.min(stream.length, 1 + random.below(5));
    redis.state = {
      meta: { ...meta, last: meta.last - lost },
      stream: stream.slice(0, stream.length - lost),
    };
    return `its last ${lost}`;
  }
  const recent = random.chance(0.7) ? Math.min(redis.past.length, 8) : redis.past.length;
  const steps = 1 + random.below(recent);
  redis.state = redis.past[redis.past.length - steps] ?? { meta: undefined, stream: [] };
  return `${steps} steps of its past`;
}
