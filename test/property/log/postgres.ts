/**
 * One thread's rows in Postgres. Every function is one statement or transaction, so it is atomic, and
 * what is written here is never lost, but for checkpoints since the last commit that waited for the disk (`crash`). Each
 * also checks what must hold for the archive at any time.
 */
import type { Rules } from './rules.ts';
import { must } from './violation.ts';

/** `v` stands for type and data: unique per emitted event, so that a swap is visible. */
export interface LogEvent {
  readonly seq: number;
  readonly term: number;
  readonly v: number;
}
interface Term {
  readonly term: number;
  readonly start: number;
}
interface Range {
  readonly first: number;
  readonly last: number;
}
interface Acknowledged extends LogEvent {
  readonly at: Moment;
}
/** When something happened, and how often Redis had lost data by then. */
export interface Moment {
  readonly step: number;
  readonly losses: number;
}

export interface Postgres {
  term: number;
  logTerm: number;
  archived: number;
  clean: boolean;
  runStart: number;
  readonly terms: Term[];
  /** rows[seq - 1] */
  readonly rows: LogEvent[];
  readonly voids: Range[];
  /** The last event before the latest checkpoint, which the next attempt goes on from. */
  checkpoint: number;
  /** What a crash goes back to; undefined: all is on the disk. */
  onDisk: { readonly archived: number; readonly checkpoint: number } | undefined;
  /** Not a table: what writers emitted, and what Redis acknowledged and no check has settled yet. */
  readonly emitted: Map<string, number>;
  acknowledged: Acknowledged[];
}

export function createPostgres(): Postgres {
  return {
    term: 0,
    logTerm: 0,
    archived: 0,
    clean: true,
    runStart: 1,
    terms: [],
    rows: [],
    voids: [],
    checkpoint: 0,
    onDisk: undefined,
    emitted: new Map(),
    acknowledged: [],
  };
}

/** The archiver's statement, also part of the direct path and of the end. Returns `archived_seq`. */
export function insertRows(pg: Postgres, rules: Rules, rows: readonly LogEvent[]): number {
  flush(pg);
  return addRows(pg, rules, rows);
}

/** Whatever waits for the disk takes along all that was committed before. */
export function flush(pg: Postgres): void {
  pg.onDisk = undefined;
}

/** Postgres comes back with what its disk has. */
export function crash(pg: Postgres): void {
  if (pg.onDisk === undefined) return;
  pg.rows.length = pg.archived = pg.onDisk.archived;
  pg.checkpoint = pg.onDisk.checkpoint;
  flush(pg);
}

/**
 * A checkpoint after event `last`, which takes `rows` along. Undefined: fenced; false: the archive does not reach it.
 */
export function putCheckpoint(
  pg: Postgres,
  rules: Rules,
  term: number,
  rows: readonly LogEvent[],
  last: number,
): boolean | undefined {
  if (rules.checkpointGuard && pg.term !== term) return undefined;
  pg.onDisk ??= { archived: pg.archived, checkpoint: pg.checkpoint };
  if (rules.checkpointTakesEvents) addRows(pg, rules, rows);
  if (rules.checkpointChecksArchive && pg.archived < last) return false;
  pg.checkpoint = last;
  return true;
}

function addRows(pg: Postgres, rules: Rules, rows: readonly LogEvent[]): number {
  for (const row of rows) {
    if (row.seq <= pg.archived) continue; // ON CONFLICT DO NOTHING
    if (rules.archiveTerm && !isOfLog(pg, rules, row)) break;
    if (rules.archiveDense && row.seq !== pg.archived + 1) break;
    checkRow(pg, rules, row);
    pg.rows.push(row);
    pg.archived = row.seq;
  }
  return pg.archived;
}

/** Where a term may begin above what is archived, a row is judged by its seq: DESIGN.md's rule. */
function isOfLog(pg: Postgres, rules: Rules, row: LogEvent): boolean {
  return rules.claimArchivesTail ? row.term === pg.logTerm : row.seq < startAfter(pg, row.term);
}

function checkRow(pg: Postgres, rules: Rules, row: LogEvent): void {
  must(row.seq === pg.rows.length + 1, () => `the archive has a hole below ${show(row)}`);
  const newest = pg.terms.at(-1)?.term ?? 0;
  must(
    row.term === newest || !rules.claimArchivesTail,
    () => `${show(row)} was archived after the start of term ${newest}`,
  );
  must(!pg.clean, () => `${show(row)} was archived after the end of its term`);
  must(
    pg.emitted.get(`${row.seq}-${row.term}`) === row.v,
    () => `${show(row)} was archived with another event's content`,
  );
}

/** `(s, t)` is valid exactly when s is below this. */
export function startAfter(pg: Postgres, term: number): number {
  let start = Infinity;
  for (const row of pg.terms) if (row.term > term && row.start < start) start = row.start;
  return start;
}
/** The term of an archived seq, from `terms` alone (a void range keeps no rows). */
export function termOf(pg: Postgres, seq: number): number {
  return pg.terms.findLast((row) => row.start <= seq)?.term ?? 0;
}

/** The claim of a cleanly ended log: one statement, nothing asked of Redis. */
export function claimClean(pg: Postgres, now: Moment): Term {
  flush(pg);
  pg.term += 1;
  return startTerm(pg, pg.term, now);
}
/** Claim, step (a). */
export function raiseTerm(pg: Postgres): { term: number; archived: number; logTerm: number } {
  flush(pg);
  pg.term += 1;
  return { term: pg.term, archived: pg.archived, logTerm: pg.logTerm };
}
/** Claim, step (c); `asked` is the moment of (b). Undefined: a later claim has begun. */
export function recordTerm(
  pg: Postgres,
  rules: Rules,
  term: number,
  tail: readonly LogEvent[],
  asked: Moment,
): Term | undefined {
  if (rules.claimGuard && pg.term !== term) return undefined;
  flush(pg);
  if (!rules.claimArchivesTail) {
    const start = Math.max(pg.archived, tail.at(-1)?.seq ?? 0) + 1;
    pg.terms.push({ term, start });
    pg.logTerm = term;
    pg.clean = false;
    return { term, start };
  }
  // The tail was checked by REOPEN; here it is only put where it belongs.
  for (const row of tail)
    if (row.seq > pg.archived) {
      checkRow(pg, rules, row);
      pg.rows.push(row);
      pg.archived = row.seq;
    }
  return startTerm(pg, term, asked);
}
function startTerm(pg: Postgres, term: number, asked: Moment): Term {
  const newest = pg.terms.at(-1)?.term ?? 0;
  must(term > newest, () => `term ${term} starts after term ${newest}`);
  const start = pg.archived + 1;
  must(
    pg.checkpoint < start,
    () => `term ${term} starts at ${start} and goes on from a checkpoint after ${pg.checkpoint}`,
  );
  for (const event of pg.acknowledged) {
    const { at } = event;
    if (at.step >= asked.step || at.losses !== asked.losses) continue;
    must(
      event.seq < start && pg.rows[event.seq - 1]?.v === event.v,
      () =>
        `${show(event)} was acknowledged, Redis lost nothing since, and term ${term} dropped it`,
    );
  }
  pg.acknowledged = [];
  pg.terms.push({ term, start });
  pg.logTerm = term;
  pg.clean = false;
  return { term, start };
}

/** The direct path. Undefined: fenced. Else `archived_seq`. */
export function writeDirect(
  pg: Postgres,
  rules: Rules,
  term: number,
  rows: readonly LogEvent[],
): number | undefined {
  if (rules.directGuard && pg.term !== term) return undefined;
  return insertRows(pg, rules, rows);
}

export type Ending = 'end' | 'hand over' | 'roll back';
/** The end of a run, or its hand-over to another worker. False: fenced. */
export function endTerm(
  pg: Postgres,
  rules: Rules,
  term: number,
  rest: readonly LogEvent[],
  ending: Ending,
): boolean {
  if (rules.endGuard && pg.term !== term) return false;
  insertRows(pg, rules, rest);
  pg.clean = true;
  if (rules.endRaisesTerm) pg.term += 1;
  if (rules.endRaisesLogTerm) pg.logTerm = pg.term;
  if (ending === 'roll back' && pg.runStart <= pg.archived)
    pg.voids.push({ first: pg.runStart, last: pg.archived });
  if (ending !== 'hand over') pg.runStart = pg.archived + 1;
  return true;
}

function show({ seq, term }: { seq: number; term: number }): string {
  return `event ${seq}-${term}`;
}
