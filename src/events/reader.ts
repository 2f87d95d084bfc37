/**
 * Follows a log from a position: what is there already, then live, as one operation.
 *
 *   catching up ──(nothing more to read)──▶ live ──(hole, new term, gap, slow client)──▶ catching up
 *   either ──(the run's terminal row, and all events up to it delivered)──▶ ended
 *
 * While live, batches come straight from the hub, if they go on where the reader stands. In any doubt
 * the reader takes the log. A position that the log has lost meanwhile is announced by one rewind.
 */
import { DELETED } from './ends.ts';
import type { RunEnds } from './ends.ts';
import type { LiveBatch, LogBatch, Position } from './event.ts';
import type { LogHub, LogListener } from './hub.ts';
import { readPage } from './page.ts';
import type { PageDeps, PageEvent } from './page.ts';

/** A page that ends at a hole which no store can fill: after so many tries wait for the next hint. */
const STUCK_PAGES_MAX = 3;

export interface ReaderDeps extends PageDeps {
  readonly hub: LogHub;
  readonly ends: RunEnds;
  onTrouble(what: string, error: unknown): void;
  onRewind(threadId: string, to: number): void;
}

export interface ReaderSink {
  /** Takes events in order. @returns undefined while there is room, else settles when there is */
  write(batch: LogBatch, runFirst: number): Promise<void> | undefined;
  /**
   * The reader's position was lost: the last valid one is `to` (runFirst - 1: none of the run). Nothing is written
   * before the promise settles: what comes in the place of lost events must not overtake the news of their loss.
   */
  rewind(to: number, runFirst: number): Promise<void> | undefined;
  /** Nothing more will come. */
  end(status: string): void;
}

export interface ReaderOptions {
  threadId: string;
  /** Follow this run to its end; null: the whole thread, for ever. */
  runId: string | null;
  /** The last event that the client has; undefined: none, begin with the first. */
  after: Position | undefined;
  /** First seq of the run, when it is known: a rewind is told relative to it. */
  runFirst?: number | undefined;
  /** The thread need not exist yet: wait for it. */
  waitForThread?: boolean;
}

export interface Reader {
  close(): void;
}

export function openReader(deps: ReaderDeps, options: ReaderOptions, sink: ReaderSink): Reader {
  const { threadId, runId } = options;
  let seq = options.after?.seq ?? 0;
  /** Term of the event at seq; undefined: the client has none of this log, so nothing can be lost. */
  let term = options.after?.term;
  /** 1 for a whole thread. */
  let runFirst = runId === null ? 1 : options.runFirst;
  let live = false;
  let catching = false;
  let again = false;
  let closed = false;
  let ended: string | undefined;

  function finish(status: string): void {
    if (closed) return;
    close();
    sink.end(status);
  }

  function deliver(batch: LogBatch): Promise<void> | undefined {
    const skip = seq + 1 - batch.first;
    const part = skip <= 0 ? batch : { ...batch, first: seq + 1, events: batch.events.slice(skip) };
    if (part.events.length === 0) return undefined;
    seq = part.first + part.events.length - 1;
    term = part.term;
    return sink.write(part, runFirst ?? 1);
  }

  const listener: LogListener = {
    onLive(batch: LiveBatch) {
      if (runId !== null && batch.runId !== runId) return;
      if (!live) {
        again = true;
        return;
      }
      if (runId !== null && runFirst === undefined) {
        runFirst = batch.runFirst;
        seq = Math.max(seq, runFirst - 1);
      }
      const goesOn = batch.first <= seq + 1 && (term === undefined || term === batch.term);
      if (!goesOn) {
        void catchUp();
        return;
      }
      const wait = deliver(batch);
      if (wait !== undefined) {
        live = false;
        void wait.then(catchUp);
      }
    },
    onHint(last) {
      if (!live) again = true;
      else if (last === undefined || last > seq || ended !== undefined) void catchUp();
    },
  };

  async function catchUp(): Promise<void> {
    live = false;
    if (catching) {
      again = true;
      return;
    }
    catching = true;
    let status: string | undefined;
    try {
      do {
        again = false;
        status = await readToEnd();
      } while ((again as boolean) && status === undefined && !closed);
    } catch (error) {
      // The next hint, at the latest the hub's next look, tries again from the same position.
      deps.onTrouble(`read log of thread ${threadId}`, error);
    }
    catching = false;
    if (closed) return;
    live = true;
    if (status !== undefined) finish(status);
  }

  /** @returns the terminal status when there is nothing more to come */
  async function readToEnd(): Promise<string | undefined> {
    for (let stuck = 0; !closed && stuck < STUCK_PAGES_MAX;) {
      const page = await readPage(deps, threadId, { seq, term }, runId);
      if (page === undefined)
        return options.waitForThread === true && term === undefined ? undefined : DELETED;
      if (page.laterStart <= seq) {
        await rewind(page.laterStart - 1);
        continue;
      }
      const before = seq;
      if (page.run?.firstSeq !== undefined && page.run.firstSeq !== null)
        runFirst = page.run.firstSeq;
      for (const batch of inTerms(threadId, page.events)) {
        await deliver(batch);
        if (closed as boolean) return undefined;
      }
      if (runId === null && page.seq > seq) {
        // Over a range that was rolled back: its term must not count as lost events of ours.
        seq = page.seq;
        term = page.logTerm;
      } else if (runFirst !== undefined) seq = Math.max(seq, page.seq);
      const status = page.run?.status;
      if (!page.more) {
        const over = status !== undefined && status !== 'pending' && status !== 'running';
        return over ? status : undefined;
      }
      stuck = seq > before ? 0 : stuck + 1;
    }
    return undefined;
  }

  function rewind(to: number): Promise<void> | undefined {
    const first = runFirst ?? 1;
    seq = Math.max(to, first - 1);
    term = undefined;
    deps.onRewind(threadId, seq);
    return sink.rewind(seq, first);
  }

  const stopWaiting =
    runId === null
      ? undefined
      : deps.ends.on(runId, (end) => {
          ended = end.status;
          if (live && end.term === term && seq >= end.lastSeq) finish(end.status);
          else if (live) void catchUp();
          else again = true;
        });

  function close(): void {
    closed = true;
    stopWaiting?.();
    deps.hub.detach(threadId, listener);
  }

  async function open(): Promise<void> {
    await deps.hub.attach(threadId, listener);
    if (closed) {
      deps.hub.detach(threadId, listener);
      return;
    }
    await catchUp();
  }
  void open();

  return { close };
}

/** Events of one page, split where the term changes. */
function* inTerms(threadId: string, events: readonly PageEvent[]): Generator<LogBatch> {
  let from = 0;
  for (let i = 1; i <= events.length; i++) {
    const first = events[from];
    if (first === undefined) return;
    const next = events[i];
    const previous = events[i - 1];
    if (next?.term === first.term && next.seq === (previous?.seq ?? 0) + 1) continue;
    yield { threadId, term: first.term, first: first.seq, events: events.slice(from, i) };
    from = i;
  }
}
