/** The consumer's side of a stream: a bounded queue between a run and `for await`. */
import { createDeferred, type Deferred } from '../lib/deferred.ts';
import type { PregelStreamMode, StreamSink } from './stream-modes.ts';

/** Events waiting for the consumer before the run waits at its next step. */
export const STREAM_EVENTS_MAX = 1_024;

export interface StreamEvent {
  readonly namespace: readonly string[];
  readonly mode: PregelStreamMode;
  readonly payload: unknown;
}

export class StreamQueue implements StreamSink, AsyncIterable<StreamEvent> {
  readonly modes: ReadonlySet<PregelStreamMode>;
  readonly subgraphs: boolean;
  #events: StreamEvent[] = [];
  #end: { readonly error?: unknown } | undefined;
  #arrival: Deferred<void> | undefined;
  #space: Deferred<void> | undefined;

  constructor(modes: Iterable<PregelStreamMode>, subgraphs: boolean) {
    this.modes = new Set(modes);
    this.subgraphs = subgraphs;
  }

  emit(namespace: readonly string[], mode: PregelStreamMode, payload: unknown): void {
    if (this.#end !== undefined) return;
    this.#events.push({ namespace, mode, payload });
    this.#wake();
  }

  room(): Promise<void> | undefined {
    if (this.#events.length < STREAM_EVENTS_MAX || this.#end !== undefined) return undefined;
    this.#space ??= createDeferred();
    return this.#space.promise;
  }

  /** No more events; the consumer gets what is waiting, then the error if there is one. */
  end(end: { readonly error?: unknown }): void {
    this.#end ??= end;
    this.#wake();
    this.#freed();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<StreamEvent> {
    for (;;) {
      const events = this.#events;
      this.#events = [];
      this.#freed();
      yield* events;
      if (this.#events.length > 0) continue;
      if (this.#end !== undefined) {
        if ('error' in this.#end) throw this.#end.error;
        return;
      }
      this.#arrival = createDeferred();
      await this.#arrival.promise;
    }
  }

  #wake(): void {
    this.#arrival?.resolve();
    this.#arrival = undefined;
  }

  #freed(): void {
    this.#space?.resolve();
    this.#space = undefined;
  }
}
