/**
 * The checkpoints of one run on their way to Postgres. Puts return at once and go out together: the first
 * one opens a window of GATHER_MS, and whatever a fast graph puts in it is one statement; after that, what
 * comes while a statement is under way goes with the next. So a run of many short supersteps costs a
 * handful of statements, and one that waits for a model is written milliseconds after each superstep.
 *
 * Postgres away: the same batch is tried again until `signal` ends the run. Nothing here rejects but
 * flush(): LangGraph.js leaves the promises of its saver unwatched for a while, and Node ends the
 * process for those. A failure is reported once through `onFailure`.
 *
 * Postgres crashed: what it lost of the run is written once more, with the next batch (unflushed.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createDeferred, type Deferred } from '../lib/deferred.ts';
import { isTransient } from '../postgres/pool.ts';
import type { CheckpointPut, WritePut } from './checkpoint.ts';
import type { EventsBefore } from './events-before.ts';
import type { CheckpointStorage } from './storage.ts';
import { keyOf, lengthOf, Unflushed, writeKey } from './unflushed.ts';
import type { CheckpointBatch } from './unflushed.ts';
import type { CheckpointWriter } from './writer.ts';

/** How long a put may wait for company. Lost with the process: that much of the last superstep's work. */
export const GATHER_MS = 5;
/** Above this much waiting data the graph waits at its next superstep. */
const QUEUE_BYTES_MAX = 16 * 1024 * 1024;
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 2_000;

export interface CheckpointQueueOptions {
  readonly writer: CheckpointWriter;
  /** See CheckpointStorage.write. Only for the checkpoints of a run. */
  readonly relaxed?: boolean;
  /** What a checkpoint must not be ahead of. Only for the checkpoints of a run. */
  readonly events?: EventsBefore | undefined;
  /** Settles when what the graph has said by now has been emitted, where that takes a moment. Rejects when it never will be: the queue fails. */
  emitted?(): Promise<void>;
  /** Ends retries: the run was cancelled, timed out or lost its lease. */
  readonly signal?: AbortSignal;
  /** Called at most once, with what no retry can mend, e.g. TermFencedError. */
  onFailure?(error: unknown): void;
  /** Called with each checkpoint that is put. */
  onPut?(checkpoint: CheckpointPut): void;
}

export class CheckpointQueue {
  readonly writer: CheckpointWriter;
  readonly #storage: CheckpointStorage;
  readonly #options: CheckpointQueueOptions;
  #checkpoints = new Map<string, CheckpointPut>();
  #writes = new Map<string, WritePut>();
  readonly #unflushed = new Unflushed();
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #room: Deferred<void> | undefined;
  #term: number | undefined;
  #failure: { error: unknown } | undefined;
  #closed = false;

  constructor(storage: CheckpointStorage, options: CheckpointQueueOptions) {
    this.#storage = storage;
    this.#options = options;
    this.writer = options.writer;
  }

  put(checkpoint: CheckpointPut): void {
    if (this.#closed || this.#failure !== undefined) return;
    this.#options.onPut?.(checkpoint);
    this.#checkpoints.set(keyOf(checkpoint.ns, checkpoint.id), checkpoint);
    this.#bytes += lengthOf(checkpoint);
    this.#gather();
  }

  putWrite(write: WritePut): void {
    if (this.#closed || this.#failure !== undefined) return;
    const key = writeKey(write);
    if (write.idx >= 0 && this.#writes.has(key)) return;
    this.#writes.set(key, write);
    this.#bytes += write.data.length;
    this.#gather();
  }

  /** `undefined` while there is room, otherwise settles when there is or the queue has failed. */
  drained(): Promise<void> | undefined {
    if (this.#bytes < QUEUE_BYTES_MAX) return undefined;
    this.#room ??= createDeferred();
    return this.#room.promise;
  }

  /** True when something is not in Postgres yet: a read has to flush first. */
  get pending(): boolean {
    return this.#writing !== undefined || this.#checkpoints.size > 0 || this.#writes.size > 0;
  }

  /**
   * Settles when all that was put is in Postgres.
   * @throws what made the queue fail
   */
  async flush(): Promise<void> {
    this.#write();
    while (this.#writing !== undefined) await this.#writing;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /**
   * The last batch, for the statement that ends the run, in place of a flush: what is not on its way to
   * Postgres yet. Everything before it is there when this settles, and the statement asks for it (`since`).
   * @throws what made the queue fail
   */
  async takeRest(): Promise<CheckpointBatch> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#writing !== undefined) await this.#writing;
    if (this.#failure !== undefined) throw this.#failure.error;
    return this.#unflushed.before(this.#take());
  }

  /** The thread's checkpoints are deleted: they are not to come back. */
  forget(): void {
    this.#unflushed.clear();
  }

  /** Later puts, e.g. of a node that ignores its signal, go nowhere. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #gather(): void {
    if (this.#writing !== undefined) return;
    this.#timer ??= setTimeout(() => {
      this.#write();
    }, GATHER_MS);
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#writing !== undefined || this.#failure !== undefined) return;
    if (this.#checkpoints.size === 0 && this.#writes.size === 0) return;
    this.#writing = this.#drain().finally(() => {
      this.#writing = undefined;
      this.#room?.resolve();
      this.#room = undefined;
    });
  }

  /** Never rejects. */
  async #drain(): Promise<void> {
    try {
      while (this.#checkpoints.size > 0 || this.#writes.size > 0) {
        await this.#send(this.#take());
      }
    } catch (error) {
      this.#failure = { error };
      this.#take();
      this.#options.onFailure?.(error);
    }
  }

  #take(): CheckpointBatch {
    const batch = {
      checkpoints: [...this.#checkpoints.values()],
      writes: [...this.#writes.values()],
    };
    this.#checkpoints = new Map();
    this.#writes = new Map();
    this.#bytes = 0;
    return batch;
  }

  async #send(batch: CheckpointBatch): Promise<void> {
    const { events, signal } = this.#options;
    const relaxed = this.#options.relaxed === true && !this.#unflushed.full;
    await this.#options.emitted?.();
    for (let delayMs = RETRY_MS_MIN; ; delayMs = Math.min(delayMs * 2, RETRY_MS_MAX)) {
      try {
        this.#term ??= await this.#storage.termOf(this.writer);
        const after = this.#unflushed.before(batch);
        const flushed = await this.#storage.write(this.writer, this.#term, after, relaxed, events);
        if (flushed) this.#unflushed.clear();
        else this.#unflushed.add(batch);
        return;
      } catch (error) {
        // An API call (no signal) answers its client instead of waiting.
        if (signal === undefined || signal.aborted || !isTransient(error)) throw error;
        await sleep(delayMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** Takes the term before anything is read, so that what is read cannot change before the write. */
  async begin(): Promise<void> {
    this.#term ??= await this.#storage.termOf(this.writer);
  }
}
