/**
 * A client's Last-Event-ID as a position in the thread's log. What never was an id of the run is refused:
 * guessing would either send everything again or silently leave something out.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '../errors.ts';
import type { Position } from '../events/event.ts';
import type { ReaderDeps } from '../events/reader.ts';
import { visibleSql } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';
import { isTerminal, RunNotFoundError } from '../runs/run.ts';
import type { RunStatus } from '../runs/run.ts';
import { formatEventId, parseEventId } from './event-id.ts';
import type { EventId } from './event-id.ts';
import { InputInvalidError } from './problem.ts';

/** A well-formed id that is no position of this run's log. */
export class CursorInvalidError extends AppError {
  readonly code = 'cursor_invalid';
}

/** An id ahead of the log may be of events that Redis lost and the worker sends again: time for that. */
const AHEAD_WAIT_MS = 1_000;
const AHEAD_LOOK_MS = 100;

export interface RunPosition {
  readonly threadId: string;
  readonly runFirst: number | undefined;
  /** undefined: from the start. */
  readonly after: Position | undefined;
  /** The client is ahead of a log that may have lost its end: begin with a rewind to `after`. */
  readonly rewound: boolean;
}

interface Term {
  term: number;
  start: number;
  attempt: number;
}

interface Row {
  thread_id: string;
  status: RunStatus;
  first_seq: number | null;
  last_seq: number | null;
  archived_seq: number;
  log_term: number;
  terms: Term[] | null;
}

export interface SoughtRun {
  /** undefined: whichever thread the run is on. */
  readonly threadId: string | undefined;
  readonly runId: string;
  readonly visible: Visibility;
}

const RUN_LOG = `
  SELECT r.thread_id, r.status, r.first_seq, r.last_seq, t.archived_seq, t.log_term,
    (SELECT json_agg(json_build_object('term', m.term, 'start', m.start_seq, 'attempt', m.attempt) ORDER BY m.term)
     FROM terms m WHERE m.thread_id = r.thread_id AND m.run_id = r.run_id) AS terms
  FROM runs r JOIN threads t USING (thread_id)
  WHERE r.run_id = $1 AND ($2::uuid IS NULL OR r.thread_id = $2)
    AND ${visibleSql('t.metadata', '$3')}`;

/**
 * @param lastEventId the header; undefined, empty and `-1` mean from the start
 * @throws {RunNotFoundError}
 * @throws {InputInvalidError} malformed, or of another run
 * @throws {CursorInvalidError} ahead of the log of a run that has ended, or that Redis has no part in
 */
export async function findPosition(
  deps: ReaderDeps,
  run: SoughtRun,
  lastEventId: string | undefined,
): Promise<RunPosition> {
  const id = readHeader(lastEventId);
  const log = await readRunLog(deps, run);
  const base = { threadId: log.thread_id, runFirst: log.first_seq ?? undefined, rewound: false };
  if (id === null) return { ...base, after: undefined };

  const terms = log.terms ?? [];
  const term = terms.find(({ attempt }) => attempt === id.attempt);
  if (log.first_seq === null || terms.length === 0) throw ahead(id, 'the run has no events yet');
  if (term === undefined)
    throw new InputInvalidError(
      `Last-Event-ID ${formatEventId(id.n, id.attempt)} is of another run: this one has no attempt ${id.attempt}`,
    );
  const after = { seq: log.first_seq + id.n, term: term.term };
  // Lost meanwhile: the reader finds out by itself, and rewinds.
  if (terms.some((later) => later.term > term.term && later.start <= after.seq))
    return { ...base, after };
  if (isTerminal(log.status)) {
    if (after.seq <= (log.last_seq ?? 0)) return { ...base, after };
    throw ahead(id, `the run ended with event ${(log.last_seq ?? 0) - log.first_seq}`);
  }
  return { ...base, ...(await positionInActive(deps, run, { id, after, first: log.first_seq })) };
}

/** Of a run that still writes: waits a little for a log that has lost its end. */
async function positionInActive(
  deps: ReaderDeps,
  run: SoughtRun,
  client: { id: EventId; after: Position; first: number },
): Promise<{ after: Position; rewound: boolean }> {
  const { after } = client;
  const deadline = Date.now() + AHEAD_WAIT_MS;
  for (;;) {
    const log = await readRunLog(deps, run);
    const last = await readLast(deps, log);
    if (last >= after.seq || (log.log_term > after.term && !isTerminal(log.status)))
      return { after, rewound: false };
    // Postgres does not go back in time.
    const bogus = deps.redis === undefined || isTerminal(log.status);
    if (bogus) throw ahead(client.id, `its last event is ${last - client.first}`);
    // Redis does, and does not know it: what it lost comes again, so the client drops what it has of it.
    if (Date.now() >= deadline) return { after: { seq: last, term: after.term }, rewound: true };
    await delay(AHEAD_LOOK_MS);
  }
}

function readHeader(text: string | undefined): EventId | null {
  if (text === undefined || text === '') return null;
  const id = parseEventId(text);
  if (id === undefined)
    throw new InputInvalidError(
      `Last-Event-ID: expected -1, <number> or <number>-<attempt>, found ${JSON.stringify(text.slice(0, 80))}`,
    );
  return id;
}

const ahead = (id: EventId, why: string): CursorInvalidError =>
  new CursorInvalidError(
    `Last-Event-ID ${formatEventId(id.n, id.attempt)} is ahead of the log: ${why}`,
  );

async function readRunLog(deps: ReaderDeps, run: SoughtRun): Promise<Row> {
  const { rows } = await deps.db.query<Row>({
    name: 'run-log',
    text: RUN_LOG,
    values: [run.runId, run.threadId, run.visible.metadata],
  });
  const row = rows[0];
  if (row === undefined) throw new RunNotFoundError('Run not found');
  return row;
}

/** @returns the last seq that can be read now */
async function readLast(deps: ReaderDeps, log: Row): Promise<number> {
  const { redis, keys } = deps;
  if (redis?.status !== 'ready') return log.archived_seq;
  const [term, last] = await redis
    .hmget(keys.log(log.thread_id).meta, 't', 'l')
    .catch((): string[] => []);
  return Math.max(log.archived_seq, Number(term ?? NaN) === log.log_term ? Number(last ?? 0) : 0);
}
