/**
 * One client's event stream, as the sink of a log reader.
 *
 *   open ──(end of the run)──▶ ended, in order
 *   open ──(the server stops, the client takes nothing, Postgres cannot be asked)──▶ broken off
 *   open ──(the client goes)──▶ closed
 *
 * An orderly end means: the run is over. Whatever else ends a stream breaks it off, and the client
 * comes back with Last-Event-ID.
 */
import type { Response } from 'express';
import { createDeferred } from '../lib/deferred.ts';
import type { LogBatch } from '../events/event.ts';
import type { ReaderSink } from '../events/reader.ts';
import type { TermAttempts } from './attempts.ts';
import { formatEventId } from './event-id.ts';
import { encodeFrames, frameText } from './frames.ts';
import type { View } from './frames.ts';
import type { OpenResponses } from './open-responses.ts';

/** Bytes that may wait in a client's socket; past it the reader stops, and goes on from the log later. */
export const BUFFER_BYTES_MAX = 1024 * 1024;
const HEARTBEAT_MS = 5_000;
/** A client that has taken nothing of what waits for it for this long is let go. */
const STALL_MS = 60_000;
/** One newline: followed by an empty line, clients take a comment for an event. */
const HEARTBEAT = ': heartbeat\n';

export interface SseDeps {
  readonly open: OpenResponses;
  onTrouble(what: string, error: unknown): void;
}

/** How batches become bytes. */
export interface SseFormat {
  /** A promise when something must be looked up first. */
  encode(batch: LogBatch, runFirst: number): readonly Buffer[] | Promise<readonly Buffer[]>;
  /** The frame that announces a rewind. */
  rewind(to: number, runFirst: number): Promise<string>;
}

export interface SseOptions {
  readonly format: SseFormat;
  readonly headers: Readonly<Record<string, string>>;
  /** Called once, however the stream ends. @param byClient the client went before the end */
  onClose(byClient: boolean): void;
}

export function openSse(deps: SseDeps, response: Response, options: SseOptions): ReaderSink {
  const { format } = options;
  const { socket } = response;
  let over = false;
  let closed = false;
  /** What has to be written first. */
  let before: Promise<void> | undefined;
  let stalledSince: number | undefined;
  let taken = 0;

  response.writeHead(200, {
    'content-type': 'text/event-stream',
    // no-transform: what compresses on the way gathers, too.
    'cache-control': 'no-cache, no-transform',
    // nginx and its kin: do not gather.
    'x-accel-buffering': 'no',
    ...options.headers,
  });
  response.flushHeaders();

  const forget = deps.open.add(breakOff);
  const timer = setInterval(beat, HEARTBEAT_MS);
  response.once('close', () => {
    closed = true;
    clearInterval(timer);
    forget();
    options.onClose(!over);
  });

  function beat(): void {
    if (socket === null) return;
    if (socket.writableLength === 0) {
      stalledSince = undefined;
      if (!over) response.write(HEARTBEAT);
      return;
    }
    const progress = socket.bytesWritten - socket.writableLength;
    if (progress !== taken) stalledSince = undefined;
    taken = progress;
    stalledSince ??= Date.now();
    if (Date.now() - stalledSince >= STALL_MS) response.destroy();
  }

  /** What waits in the socket still goes out; the missing end of the body tells the client. */
  function breakOff(): void {
    if (over || closed) return;
    over = true;
    if (socket === null) response.destroy();
    else socket.destroySoon();
  }

  function put(frames: readonly Buffer[]): Promise<void> | undefined {
    for (let i = 0; i < frames.length; i++) {
      response.write(frames[i]);
      if ((socket?.writableLength ?? 0) > BUFFER_BYTES_MAX)
        return drained().then(() => putRest(frames, i + 1));
    }
    return undefined;
  }

  async function putRest(frames: readonly Buffer[], from: number): Promise<void> {
    for (let i = from; i < frames.length && !closed && !over; i++)
      if (!response.write(frames[i])) await drained();
  }

  /** Settles when the socket is empty or gone. */
  function drained(): Promise<void> {
    if (closed) return Promise.resolve();
    const empty = createDeferred();
    const settle = (): void => {
      response.off('drain', settle);
      response.off('close', settle);
      empty.resolve();
    };
    response.once('drain', settle);
    response.once('close', settle);
    return empty.promise;
  }

  /** Runs `work` before everything that is written later. A failure breaks the stream off. */
  function first(work: () => Promise<void>): Promise<void> {
    const previous = before;
    const done = (async () => {
      await previous;
      if (closed || over) return;
      await work();
    })()
      .catch((error: unknown) => {
        deps.onTrouble('write events', error);
        breakOff();
      })
      .finally(() => {
        if (before === done) before = undefined;
      });
    return (before = done);
  }

  return {
    write(batch, runFirst) {
      if (over || closed) return undefined;
      if (before !== undefined) return first(async () => put(await format.encode(batch, runFirst)));
      const frames = format.encode(batch, runFirst);
      return frames instanceof Promise ? first(async () => put(await frames)) : put(frames);
    },
    rewind(to, runFirst) {
      return first(async () => {
        response.write(await format.rewind(to, runFirst));
      });
    },
    end() {
      const finish = (): void => {
        if (over || closed) return;
        over = true;
        response.end();
      };
      if (before === undefined) finish();
      else void before.then(finish);
    },
  };
}

/** A run's own stream: its events as they are, numbered from the run's first. */
export function runFormat(attempts: TermAttempts, threadId: string, view: View): SseFormat {
  return {
    encode(batch, runFirst) {
      const n = batch.first - runFirst;
      const known = attempts.known(threadId, batch.term);
      const attempt = known ?? attemptOf(batch);
      // So that a page read just after Postgres was away needs no question of its own, which might break the stream off.
      if (known === undefined && attempt !== undefined)
        attempts.learn(threadId, batch.term, attempt);
      if (attempt !== undefined) return encodeFrames(batch.events, { n, attempt }, view);
      return attempts
        .find(threadId, batch.term)
        .then((found) => encodeFrames(batch.events, { n, attempt: found }, view));
    },
    async rewind(to, runFirst) {
      const n = Math.max(to - runFirst, -1);
      const attempt = n < 0 ? 1 : await attempts.at(threadId, to);
      const id = formatEventId(n, attempt);
      return frameText('rewind', JSON.stringify({ to: id }), id);
    },
  };
}

/** Live batches know their attempt. */
function attemptOf(batch: LogBatch): number | undefined {
  return 'attempt' in batch && typeof batch.attempt === 'number' ? batch.attempt : undefined;
}
