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
  /** The library throws away what waits in its streams when a run is stopped. */
  #lost = false;

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
      this.#lost ||= this.#stop.aborted;
      this.#held = undefined;
    });
    return this.#held;
  }

  /** Settles when what the graph has said by now is in the sink. Never rejects: LangGraph.js does not watch all that its saver returns. */
  async caughtUp(): Promise<void> {
    do {
      await this.#held;
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#held !== undefined);
  }

  /**
   * The same, for a checkpoint, which must not be ahead of it: who goes on from there would never say the rest.
   * @throws when the run was stopped while chunks had to wait
   */
  async allTaken(): Promise<void> {
    await this.caughtUp();
    if (this.#lost) throw new Error('the run was stopped while its events waited');
  }

  /** undefined while the sink has room. */
  room(): Promise<void> | undefined {
    return roomIn(this.#sink, this.#stop);
  }
}
