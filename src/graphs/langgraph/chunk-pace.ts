/**
 * Between the graph and the sink lie the library's streams: what a node said just before it ended is still on its way
 * when its checkpoint is put. The way is one of microtasks, so a turn of the event loop is enough, unless the sink is full
 * and its chunks have to wait.
 */
import type { EventSink } from '../port.ts';
import { roomIn } from '../room.ts';

export class ChunkPace {
  readonly #sink: EventSink;
  readonly #stop: AbortSignal;
  #held: Promise<void> | undefined;

  /** @param stop a run that is to end does not wait for room in the sink */
  constructor(sink: EventSink, stop: AbortSignal) {
    this.#sink = sink;
    this.#stop = stop;
  }

  /** After each chunk: settles when the next may come; undefined: at once, because the graph goes on meanwhile. */
  next(): Promise<void> | undefined {
    const room = this.room();
    if (room === undefined) return undefined;
    this.#held = room.then(() => {
      this.#held = undefined;
    });
    return this.#held;
  }

  /** Settles when what the graph has said by now is in the sink. */
  async caughtUp(): Promise<void> {
    do {
      await this.#held;
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#held !== undefined);
  }

  /** undefined while the sink has room. */
  room(): Promise<void> | undefined {
    return roomIn(this.#sink, this.#stop);
  }
}
