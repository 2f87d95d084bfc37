/** Many values at once. */
import type { z } from 'zod';
import { BaseChannel, EMPTY, type Empty } from './channel.ts';

export interface TopicOptions {
  /** Drop a value that was seen before, in any step (compared as Set does: objects by identity). */
  unique?: boolean;
  /** Keep values over steps instead of one step only. */
  accumulate?: boolean;
}

/**
 * A PubSub topic: any number of values between actors, or accumulated output.
 *
 * Merge rule: appends every update, in the order of actors; an array is taken as several values.
 * Without `accumulate` the list starts anew with each step.
 * @see seed 004, "LastValue and Topic", `Topic(str, accumulate=True)`
 */
export class Topic<T> extends BaseChannel<T[], T | readonly T[]> {
  readonly kind = 'Topic';
  override readonly transient: boolean;
  readonly #options: TopicOptions;
  readonly #item: z.ZodType<T> | undefined;
  #values: T[] = [];
  #seen: Set<T> | undefined;

  /** @param item the type of one value */
  constructor(item?: z.ZodType<T>, options: TopicOptions = {}) {
    super(item?.array());
    this.#item = item;
    this.#options = options;
    this.transient = options.accumulate !== true;
    if (options.unique === true) this.#seen = new Set();
  }

  fresh(saved: unknown): Topic<T> {
    const channel = new Topic<T>(this.#item, this.#options);
    if (saved === EMPTY) return channel;
    if (this.#options.unique === true) {
      const [seen, values] = saved as [T[], T[]];
      channel.#seen = new Set(seen);
      channel.#values = [...values];
    } else channel.#values = [...(saved as T[])];
    return channel;
  }

  update(updates: readonly (T | readonly T[])[]): boolean {
    let changed = false;
    // A new array each time: readers keep the one they were given.
    let values = this.#values;
    if (this.transient) {
      changed = values.length > 0;
      values = [];
    } else if (updates.length > 0) values = [...values];
    const add = (value: T): void => {
      if (this.#seen !== undefined) {
        if (this.#seen.has(value)) return;
        this.#seen.add(value);
      }
      values.push(value);
      changed = true;
    };
    for (const update of updates) {
      if (Array.isArray(update)) for (const value of update as readonly T[]) add(value);
      else add(update as T);
    }
    this.#values = values;
    return changed;
  }

  get(): T[] | Empty {
    return this.#values.length === 0 ? EMPTY : this.#values;
  }

  override save(): unknown {
    if (this.#seen !== undefined) {
      return this.#seen.size === 0 ? EMPTY : [[...this.#seen], this.#values];
    }
    return this.get();
  }
}
