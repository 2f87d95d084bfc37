/**
 * A worker's side of the log: claim, emit, append, direct path, end. One call of `step` is one thing
 * that is atomic in reality (a statement, a script with its answer), so that the model can put other
 * actors' steps between any two of them. A worker is never told that it is a zombie: it finds out.
 *
 *   claiming ─(b)→ asked ─(c)→ running ⇄ lost place ─ask Postgres→ reopening → running → gone
 */
import {
  claimClean,
  endTerm,
  flush,
  putCheckpoint,
  raiseTerm,
  recordTerm,
  writeDirect,
  type Ending,
  type LogEvent,
  type Moment,
} from './postgres.ts';
import { append, reopen, type Append, type AppendReply, type Reopen } from './redis.ts';
import { must } from './violation.ts';
import type { World } from './world.ts';

type Phase =
  | { readonly name: 'claiming'; readonly archived: number; readonly logTerm: number }
  | { readonly name: 'asked'; readonly tail: readonly LogEvent[]; readonly at: Moment }
  | { readonly name: 'running' }
  | { readonly name: 'lost place' }
  | { readonly name: 'reopening'; readonly archived: number }
  | { readonly name: 'gone'; readonly why: string };

export interface Writer {
  readonly term: number;
  phase: Phase;
  start: number;
  /** Its first append carries `open`. */
  readonly opens: boolean;
  /** Every event that Postgres may not have yet, in order. */
  buffer: LogEvent[];
  /** The last seq given out. */
  last: number;
  /** The next seq to append. */
  next: number;
  /** Up to here checkpoints have taken events along. */
  stored: number;
  /** Sent, and the answer did not come: ioredis sends it again. */
  unanswered: Append | undefined;
}

const BATCH_EVENTS_MAX = 8;

export function claim(world: World): Writer {
  const { pg, rules } = world;
  if (pg.clean || !rules.claimChecksClean) {
    const { term, start } = claimClean(pg, now(world));
    world.trace?.(`term ${term} is claimed cleanly, from ${start}`);
    return createWriter(term, start, true, { name: 'running' });
  }
  const { term, archived, logTerm } = raiseTerm(pg);
  world.trace?.(`term ${term}: (a) raised; archived ${archived}, log_term ${logTerm}`);
  return createWriter(term, 0, rules.claimLeavesShut, { name: 'claiming', archived, logTerm });
}
function createWriter(term: number, start: number, opens: boolean, phase: Phase): Writer {
  const last = start - 1;
  const place = { last, next: start, stored: last };
  return { term, phase, start, opens, buffer: [], ...place, unanswered: undefined };
}

export const isRunning = (writer: Writer): boolean =>
  writer.phase.name !== 'gone' && writer.phase.name !== 'claiming' && writer.phase.name !== 'asked';

/** The next step of whatever this worker is doing; `emits` new events go with the next append. */
export function step(world: World, writer: Writer, emits: number): void {
  const { phase } = writer;
  switch (phase.name) {
    case 'claiming':
      askTail(world, writer, phase);
      return;
    case 'asked':
      begin(world, writer, phase);
      return;
    case 'running':
      emit(world, writer, emits);
      send(world, writer);
      return;
    case 'lost place':
      askPostgres(world, writer);
      return;
    case 'reopening':
      reopenTerm(world, writer, phase);
      return;
    case 'gone':
      return;
  }
}

export function stop(world: World, writer: Writer, why: string): void {
  writer.phase = { name: 'gone', why };
  writer.unanswered = undefined;
  world.trace?.(`term ${writer.term}: ${why}`);
}

/** Claim, step (b). With Redis away a claim goes on without it: what only Redis has is given up. */
function askTail(world: World, writer: Writer, phase: Phase & { name: 'claiming' }): void {
  const { redis, rules } = world;
  const { archived, logTerm } = phase;
  if (redis.away) {
    world.trace?.(`term ${writer.term}: (b) Redis is away`);
    writer.phase = { name: 'asked', tail: [], at: { step: 0, losses: -1 } };
    return;
  }
  const request: Reopen = {
    kind: 'reopen',
    term: writer.term,
    archived,
    logTerm,
    start: undefined,
  };
  leaveCopy(world, request);
  const at = now(world);
  const reply = reopen(redis, rules, request);
  if (!reply) {
    stop(world, writer, '(b) FENCED');
    return;
  }
  world.trace?.(`term ${writer.term}: (b) tail ${showAll(reply.tail)}`);
  if (world.random.chance(0.1)) return; // the answer is lost: asked again
  writer.phase = { name: 'asked', tail: reply.tail, at };
}
/** Claim, step (c). */
function begin(world: World, writer: Writer, phase: Phase & { name: 'asked' }): void {
  const begun = recordTerm(world.pg, world.rules, writer.term, phase.tail, phase.at);
  if (!begun) {
    stop(world, writer, '(c) a later claim has begun');
    return;
  }
  writer.start = writer.next = begun.start;
  writer.last = writer.stored = begun.start - 1;
  writer.phase = { name: 'running' };
  world.trace?.(`term ${writer.term}: (c) starts at ${begun.start}`);
}

function emit(world: World, writer: Writer, count: number): void {
  for (let i = 0; i < count; i++) {
    writer.last += 1;
    const event = { seq: writer.last, term: writer.term, v: world.nextValue() };
    writer.buffer.push(event);
    world.pg.emitted.set(`${event.seq}-${event.term}`, event.v);
  }
}

function send(world: World, writer: Writer): void {
  const { redis, rules, random } = world;
  const request = writer.unanswered ?? nextAppend(world, writer, false);
  if (!request) return;
  if (redis.away) {
    if (random.chance(0.3)) world.wire.push(request); // arrives when nobody waits for it any more
    writer.unanswered = request;
    return;
  }
  leaveCopy(world, request);
  const reply = append(redis, rules, request);
  world.trace?.(`term ${writer.term}: append ${showAll(request.events)} ${reply.answer}`);
  if (reply.answer === 'OK') world.publish(request.events);
  if (random.chance(0.1)) {
    writer.unanswered = request;
    return;
  }
  writer.unanswered = undefined;
  take(world, writer, request, reply);
}
function nextAppend(world: World, writer: Writer, close: boolean): Append | undefined {
  const events = writer.buffer
    .filter((event) => event.seq >= writer.next)
    .slice(0, close ? undefined : BATCH_EVENTS_MAX);
  const first = events[0];
  if (!first) return undefined;
  const open = writer.opens && (first.seq === writer.start || !world.rules.openOnlyAtStart);
  return { kind: 'append', term: writer.term, events, open, close };
}
function take(world: World, writer: Writer, request: Append, reply: AppendReply): void {
  switch (reply.answer) {
    case 'OK':
    case 'DUP':
      writer.next = Math.max(writer.next, (request.events.at(-1)?.seq ?? 0) + 1);
      acknowledge(world, writer, request);
      forget(writer, world.rules.bufferUntilArchived ? reply.archived : writer.next - 1);
      return;
    case 'GAP':
      if (reply.last + 1 >= (writer.buffer[0]?.seq ?? Infinity)) writer.next = reply.last + 1;
      else writer.phase = { name: 'lost place' };
      return;
    case 'BEHIND':
    case 'REOPEN':
      writer.phase = { name: 'lost place' };
      return;
    case 'FENCED':
    case 'CLOSED':
      stop(world, writer, reply.answer);
      return;
  }
}
/** What an answer promises is noted while the term is the log's: a zombie is promised nothing. */
function acknowledge(world: World, writer: Writer, request: Append): void {
  if (world.pg.logTerm !== writer.term || world.pg.clean) return;
  const at = now(world);
  for (const event of request.events) world.pg.acknowledged.push({ ...event, at });
}
function forget(writer: Writer, archived: number): void {
  if ((writer.buffer[0]?.seq ?? Infinity) <= archived)
    writer.buffer = writer.buffer.filter((event) => event.seq > archived);
}

function askPostgres(world: World, writer: Writer): void {
  if (world.rules.askWaitsForDisk) flush(world.pg);
  const { term, archived } = world.pg;
  if (term !== writer.term) {
    stop(world, writer, 'FENCED by Postgres');
    return;
  }
  forget(writer, archived);
  writer.phase = { name: 'reopening', archived };
}
function reopenTerm(world: World, writer: Writer, phase: Phase & { name: 'reopening' }): void {
  const { term, start } = writer;
  writer.phase = { name: 'running' };
  if (world.redis.away) return;
  const request: Reopen = { kind: 'reopen', term, archived: phase.archived, logTerm: term, start };
  leaveCopy(world, request);
  const reply = reopen(world.redis, world.rules, request);
  world.trace?.(`term ${term}: reopened at ${reply?.last ?? 'FENCED'}`);
  if (!reply) stop(world, writer, 'FENCED at a reopen');
  else writer.next = reply.last + 1;
}

/** The direct path: the whole buffer, straight to the archive. */
export function sendDirect(world: World, writer: Writer, emits: number): void {
  if (writer.phase.name !== 'running') return;
  emit(world, writer, emits);
  const archived = writeDirect(world.pg, world.rules, writer.term, writer.buffer);
  world.trace?.(`term ${writer.term}: direct, archived ${archived ?? 'FENCED'}`);
  if (archived === undefined) {
    stop(world, writer, 'FENCED on the direct path');
    return;
  }
  forget(writer, archived);
  writer.next = Math.max(writer.next, archived + 1);
  writer.unanswered = undefined;
}

/** A superstep is over. */
export function checkpoint(world: World, writer: Writer, emits: number): void {
  if (!isRunning(writer)) return;
  const { pg, rules, random } = world;
  emit(world, writer, emits);
  for (let tries = 0; tries < 2; tries++) {
    const rows = writer.buffer.filter((event) => event.seq > writer.stored);
    const held = putCheckpoint(pg, rules, writer.term, rows, writer.last);
    world.trace?.(
      `term ${writer.term}: checkpoint after ${writer.last} with ${showAll(rows)} ${held ?? 'FENCED'}`,
    );
    if (held === undefined) {
      stop(world, writer, 'FENCED at a checkpoint');
      return;
    }
    if (held) {
      if (random.chance(0.1)) return; // the answer is lost
      writer.stored = writer.last;
      if (!rules.bufferOutlivesCheckpoint) {
        forget(writer, pg.archived);
        writer.next = Math.max(writer.next, pg.archived + 1);
      }
      return;
    }
    writer.stored = (writer.buffer[0]?.seq ?? writer.last + 1) - 1;
  }
  must(false, () => `term ${writer.term}: its events do not go on from the archive`);
}

export function end(world: World, writer: Writer, ending: Ending): void {
  const { pg, redis, rules, random } = world;
  if (!isRunning(writer)) return;
  emit(world, writer, 1);
  if (!endTerm(pg, rules, writer.term, writer.buffer, ending)) {
    stop(world, writer, 'FENCED at its end');
    return;
  }
  must(
    pg.archived === writer.last,
    () => `term ${writer.term} ended at ${writer.last}, archived is ${pg.archived}`,
  );
  world.trace?.(`term ${writer.term}: ${ending}, archived ${pg.archived}`);
  if (random.chance(0.1)) return; // the answer is lost, and the worker goes on as a zombie of its own
  const close = nextAppend(world, writer, true);
  if (close && random.chance(0.3)) world.wire.push(close);
  else if (close && !redis.away && random.chance(0.7)) {
    if (append(redis, rules, close).answer === 'OK') world.publish(close.events);
  }
  stop(world, writer, 'ended');
}

/** The network may deliver a command twice, and the second time late. */
function leaveCopy(world: World, request: Append | Reopen): void {
  if (world.random.chance(world.copies)) world.wire.push(request);
}
/** A late copy arrives: whoever sent it is not there for the answer. */
export function deliverLate(world: World): void {
  const { redis, rules, random, wire } = world;
  if (redis.away || wire.length === 0) return;
  const i = random.below(wire.length);
  const request = random.chance(0.5) ? wire[i] : wire.splice(i, 1)[0];
  if (!request) return;
  if (request.kind === 'append') {
    const { answer } = append(redis, rules, request);
    world.trace?.(`late: term ${request.term} append ${showAll(request.events)} ${answer}`);
    if (answer === 'OK') world.publish(request.events);
  } else {
    const reply = reopen(redis, rules, request);
    world.trace?.(
      `late: term ${request.term} reopen (archived ${request.archived}, log_term ${request.logTerm}) ${reply?.last ?? 'FENCED'}`,
    );
  }
}

function now(world: World): Moment {
  world.clock += 1;
  return { step: world.clock, losses: world.redis.losses };
}
export function showAll(events: readonly LogEvent[]): string {
  return `[${events.map(({ seq, term }) => `${seq}-${term}`).join(' ')}]`;
}
