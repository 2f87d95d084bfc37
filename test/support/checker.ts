/**
 * The invariants of SCENARIOS.md over what was recorded: pure functions, each answers what is wrong, so that
 * `expect(violations).toEqual([])` shows all of it.
 *
 *   I1 nothing lost   I2 none twice   I3 each view a contiguous prefix   I4 holes are announced
 *   I5 one terminal state, the same everywhere   I6 no lower term is accepted
 */
import type { SseEvent } from './event-client.ts';

/** One connection of a client. Several of one client are given in order. */
export interface Session {
  /** The Last-Event-ID it began with. */
  readonly after?: string | undefined;
  readonly events: readonly SseEvent[];
  /** The response ended properly. */
  readonly ended: boolean;
}

/** A row of the archive. */
export interface LogRow {
  readonly seq: number;
  readonly term: number;
}

interface Id {
  n: number;
  attempt: number;
}

function idOf(text: string | undefined): Id | undefined {
  const match = /^(-1|\d+)(?:-(\d+))?$/.exec(text ?? '');
  return match === null ? undefined : { n: Number(match[1]), attempt: Number(match[2] ?? 1) };
}

const same = (a: SseEvent, b: SseEvent | undefined): boolean =>
  a.id === b?.id && a.event === b?.event && a.data === b?.data;

/**
 * I1–I4 for one client: over all its connections every event goes on where the last one ended, a step
 * back is announced by a rewind that names an event it holds, and what it holds in the end is the archive:
 * all of it when the last response has ended, else its beginning.
 * @param archive the run's events in Postgres, in order
 */
export function viewViolations(
  sessions: readonly Session[],
  archive: readonly SseEvent[],
): string[] {
  const wrong: string[] = [];
  const held: SseEvent[] = [];
  /** To before the first event: then the id to come back with is -1. */
  let rewound = false;
  for (const [s, session] of sessions.entries()) {
    const at = `connection ${s + 1}`;
    if (s > 0 && session.after !== (held.at(-1)?.id ?? (rewound ? '-1' : undefined)))
      wrong.push(`${at}: began after ${session.after}, the client has ${held.at(-1)?.id}`);
    for (const event of session.events) {
      const id = idOf(event.id);
      if (id === undefined) {
        wrong.push(`${at}: event without an id: ${JSON.stringify(event)}`);
        continue;
      }
      if (event.event === 'rewind') {
        const { to } = JSON.parse(event.data) as { to: string };
        const place = held.findIndex((known) => known.id === to);
        if (place === -1 && idOf(to)?.n !== -1)
          wrong.push(`${at}: rewind to ${to}, which the client never had`);
        held.length = place + 1;
        rewound = place === -1;
        continue;
      }
      const before = idOf(held.at(-1)?.id) ?? { n: -1, attempt: 1 };
      if (id.n <= before.n) wrong.push(`${at}: ${event.id} again after ${held.at(-1)?.id} [I2]`);
      else if (id.n > before.n + 1)
        wrong.push(`${at}: a silent hole between ${held.at(-1)?.id} and ${event.id} [I4]`);
      if (id.attempt < before.attempt)
        wrong.push(`${at}: ${event.id} of an attempt that was over [I6]`);
      held.push(event);
    }
  }
  const differs = held.findIndex((event, i) => !same(event, archive[i]));
  if (differs !== -1)
    wrong.push(
      `event ${differs}: the client has ${JSON.stringify(held[differs])}, Postgres ${JSON.stringify(archive[differs])} [I1]`,
    );
  if (sessions.at(-1)?.ended === true && held.length < archive.length)
    wrong.push(`the stream ended after ${held.length} of ${archive.length} events [I1]`);
  return wrong;
}

/** How many rewinds a client was told. */
export const rewindsIn = (sessions: readonly Session[]): number =>
  sessions.flatMap(({ events }) => events).filter(({ event }) => event === 'rewind').length;

/** I2, I3, I6 in Postgres: a thread's rows are dense from 1 and their terms never fall. */
export function logViolations(rows: readonly LogRow[]): string[] {
  return rows.flatMap(({ seq, term }, i) => {
    const wrong: string[] = [];
    if (seq !== i + 1) wrong.push(`row ${i + 1} of the log has seq ${seq} [I3]`);
    if (term < (rows[i - 1]?.term ?? 0)) wrong.push(`seq ${seq}: term falls to ${term} [I6]`);
    return wrong;
  });
}

interface Count {
  n: number;
  execution: string;
}

/**
 * I1 and I6 from the graph's side: the probe counts its events, so what one attempt wrote is dense, is of one
 * execution, goes on from a checkpoint of the attempts before, and ends with its last number.
 * @param expected events of a whole run; undefined: it was stopped
 * @param from its first count, of a run that goes on with another's state
 */
export function counterViolations(
  archive: readonly SseEvent[],
  expected: number | undefined,
  from = 0,
): string[] {
  const wrong: string[] = [];
  let attempt = 1;
  let last: Count | undefined;
  for (const event of archive) {
    if (event.event !== 'custom') continue;
    const count = JSON.parse(event.data) as Count;
    const now = idOf(event.id)?.attempt ?? 0;
    const next = (last?.n ?? from - 1) + 1;
    if (now !== attempt ? count.n > next : count.n !== next)
      wrong.push(`event ${event.id}: count ${count.n} follows ${last?.n} [I1]`);
    if (now === attempt && last !== undefined && last.execution !== count.execution)
      wrong.push(`event ${event.id}: two executions in one attempt [I6]`);
    attempt = now;
    last = count;
  }
  if (expected !== undefined && (last?.n ?? from - 1) !== from + expected - 1)
    wrong.push(`the last count is ${last?.n}, not ${from + expected - 1} [I1]`);
  return wrong;
}

/** I5: what the row, the API and the streams say about the end. */
export function endViolations(end: {
  row: string;
  api: string;
  archive: readonly SseEvent[];
  clients: readonly (readonly Session[])[];
}): string[] {
  const wrong: string[] = [];
  if (['pending', 'running'].includes(end.row)) wrong.push(`the run is ${end.row} [I5]`);
  if (end.api !== end.row) wrong.push(`the API says ${end.api}, the row ${end.row} [I5]`);
  const failed = end.row === 'error' || end.row === 'timeout';
  const errors = end.archive.filter(({ event }) => event === 'error').length;
  if (errors !== (failed ? 1 : 0) || (failed && end.archive.at(-1)?.event !== 'error'))
    wrong.push(`the run is ${end.row} and its log has ${errors} error events [I5]`);
  for (const [c, sessions] of end.clients.entries())
    if (sessions.at(-1)?.ended !== true) wrong.push(`client ${c + 1}: no proper end [I5]`);
  return wrong;
}
