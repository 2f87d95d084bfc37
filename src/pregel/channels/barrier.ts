/** Waiting for several actors, and waiting for the end. */
import { BaseChannel, EMPTY, InvalidUpdateError, type Empty } from './channel.ts';

/**
 * Becomes available when every named actor has written its name, and is empty again once the
 * waiting actor ran: the join of `addEdge(['a', 'b'], 'c')`.
 *
 * Merge rule: collects the names, in any number of steps, each as often as it comes.
 * With `deferred`, a complete barrier opens only when the graph would otherwise end.
 * @throws {InvalidUpdateError} from `update`, for a name that is not waited for
 * @see seed 004 (what StateGraph needs beside the basic channels)
 */
export class Barrier extends BaseChannel<null, string> {
  readonly kind = 'Barrier';
  readonly #names: ReadonlySet<string>;
  readonly #deferred: boolean;
  #seen = new Set<string>();
  #finished = false;

  constructor(names: Iterable<string>, options: { deferred?: boolean } = {}) {
    super();
    this.#names = new Set(names);
    this.#deferred = options.deferred ?? false;
  }

  fresh(saved: unknown): Barrier {
    const channel = new Barrier(this.#names, { deferred: this.#deferred });
    if (saved === EMPTY) return channel;
    const [seen, finished] = saved as [string[], boolean];
    channel.#seen = new Set(seen);
    channel.#finished = finished;
    return channel;
  }

  update(values: readonly string[]): boolean {
    let changed = false;
    for (const name of values) {
      if (!this.#names.has(name)) {
        throw new InvalidUpdateError(
          `"${name}" is not one of ${[...this.#names].join(', ')}, which this barrier waits for`,
        );
      }
      if (!this.#seen.has(name)) {
        this.#seen.add(name);
        changed = true;
      }
    }
    return changed;
  }

  get(): null | Empty {
    return this.available() ? null : EMPTY;
  }

  override available(): boolean {
    return this.#complete() && (this.#finished || !this.#deferred);
  }

  override consume(): boolean {
    if (!this.available()) return false;
    this.#seen = new Set();
    this.#finished = false;
    return true;
  }

  override finish(): boolean {
    if (!this.#deferred || this.#finished || !this.#complete()) return false;
    this.#finished = true;
    return true;
  }

  override save(): unknown {
    return this.#seen.size === 0 ? EMPTY : [[...this.#seen], this.#finished];
  }

  #complete(): boolean {
    return this.#seen.size === this.#names.size;
  }
}

/**
 * Holds a wake-up back until the graph would otherwise end: the trigger of a node with `defer`.
 *
 * Merge rule: any number of updates is one wake-up.
 * @see seed 004 (what StateGraph needs beside the basic channels)
 */
export class AfterFinish extends BaseChannel<null, unknown> {
  readonly kind = 'AfterFinish';
  #waiting = false;
  #finished = false;

  fresh(saved: unknown): AfterFinish {
    const channel = new AfterFinish();
    if (saved === EMPTY) return channel;
    channel.#waiting = true;
    channel.#finished = saved as boolean;
    return channel;
  }

  update(values: readonly unknown[]): boolean {
    if (values.length === 0) return false;
    this.#waiting = true;
    this.#finished = false;
    return true;
  }

  get(): null | Empty {
    return this.#waiting && this.#finished ? null : EMPTY;
  }

  override consume(): boolean {
    if (!this.#finished) return false;
    this.#waiting = false;
    this.#finished = false;
    return true;
  }

  override finish(): boolean {
    if (!this.#waiting || this.#finished) return false;
    this.#finished = true;
    return true;
  }

  override save(): unknown {
    return this.#waiting ? this.#finished : EMPTY;
  }
}
