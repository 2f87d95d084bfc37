/**
 * A client and the server process that reads for it. It takes the next seq from wherever it is: the
 * archive, the stream, or a live hint. Stream and hints are looked at without Postgres as long as their
 * term is the cursor's; a higher one means that a term has begun, so the cursor is checked first.
 */
import { startAfter, termOf, type LogEvent } from './postgres.ts';
import { must } from './violation.ts';
import type { World } from './world.ts';

export interface Reader {
  seq: number;
  term: number;
  /** What the client has: view[seq - 1]; undefined where it passed over a void range. */
  readonly view: (number | undefined)[];
  /** Got from the stream or a hint, not looked at yet. */
  pending: readonly LogEvent[];
  rewinds: number;
}
const PAGE_EVENTS_MAX = 6;

export function createReader(): Reader {
  return { seq: 0, term: 0, view: [], pending: [], rewinds: 0 };
}

/** One Postgres snapshot: the starts of terms, the void ranges and a page of rows. */
export function readArchive(world: World, reader: Reader): void {
  const { pg, rules } = world;
  check(world, reader);
  for (let i = 0; i < PAGE_EVENTS_MAX; i++) {
    const next = reader.seq + 1;
    const hole = rules.readerSkipsVoid
      ? pg.voids.find(({ first, last }) => first <= next && next <= last)
      : undefined;
    if (hole) {
      reader.seq = reader.view.length = hole.last;
      reader.term = termOf(pg, hole.last);
      continue;
    }
    const row = pg.rows[next - 1];
    if (!row) return;
    deliver(reader, row);
  }
}
/** Whether the end may be sent: a seq alone may be that of an event which the log lost. */
export function isAtEnd({ pg, rules }: World, reader: Reader): boolean {
  const isSameTerm = reader.term === termOf(pg, pg.archived);
  return reader.seq === pg.archived && (isSameTerm || !rules.readerEndChecksTerm);
}
/** One XRANGE; what it found is delivered in a later step. */
export function readStream({ redis }: World, reader: Reader): void {
  if (redis.away) return;
  reader.pending = redis.state.stream
    .filter((event) => event.seq > reader.seq)
    .slice(0, PAGE_EVENTS_MAX);
}
export function deliverPending(world: World, reader: Reader): void {
  const { pending } = reader;
  reader.pending = [];
  for (const event of pending) {
    if (event.seq <= reader.seq) continue;
    if (event.term < reader.term && world.rules.readerRefusesLower) return;
    if (event.term > reader.term) check(world, reader);
    if (event.seq !== reader.seq + 1) return; // a hole, or a rewind: the archive comes first
    deliver(reader, event);
  }
}

function deliver(reader: Reader, event: LogEvent): void {
  reader.view[event.seq - 1] = event.v;
  reader.seq = event.seq;
  reader.term = event.term;
}
/** The cursor's validity; an invalid one gets one `rewind` to its last valid position. */
function check({ pg, rules, trace }: World, reader: Reader): void {
  if (!rules.cursorTerm) return;
  const start = startAfter(pg, reader.term);
  if (reader.seq < start) return;
  must(
    pg.rows[reader.seq - 1]?.term !== reader.term,
    () =>
      `a reader at ${reader.seq}-${reader.term}, which is archived, is sent back to ${start - 1}`,
  );
  const right = pg.rows[start - 1]?.v;
  must(
    right === undefined || right !== reader.view[start - 1],
    () => `a reader is sent back over event ${start}, which it has right`,
  );
  trace?.(`a reader at ${reader.seq}-${reader.term} is sent back to ${start - 1}`);
  reader.rewinds += 1;
  reader.view.length = reader.seq = start - 1;
  reader.term = termOf(pg, start - 1);
}
