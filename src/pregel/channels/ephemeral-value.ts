/** A value for exactly one step. */
import type { z } from 'zod';
import { BaseChannel, EMPTY, InvalidUpdateError, type Empty } from './channel.ts';

/**
 * Holds what the previous step wrote and is empty again after a step that writes nothing to it.
 *
 * Merge rule: one update per step replaces the value; with `guard: false` the last of several wins.
 * @throws {InvalidUpdateError} from `update`, for more than one update in a step while guarded
 * @see seed 004, "Examples", `EphemeralValue(str)`
 */
export class EphemeralValue<T> extends BaseChannel<T> {
  readonly kind = 'EphemeralValue';
  override readonly transient = true;
  readonly #guard: boolean;
  #value: T | Empty = EMPTY;

  constructor(schema?: z.ZodType<T>, options: { guard?: boolean } = {}) {
    super(schema);
    this.#guard = options.guard ?? true;
  }

  fresh(saved: unknown): EphemeralValue<T> {
    const channel = new EphemeralValue<T>(this.schema as z.ZodType<T> | undefined, {
      guard: this.#guard,
    });
    channel.#value = saved as T | Empty;
    return channel;
  }

  update(values: readonly T[]): boolean {
    if (values.length === 0) {
      if (this.#value === EMPTY) return false;
      this.#value = EMPTY;
      return true;
    }
    if (values.length > 1 && this.#guard) {
      throw new InvalidUpdateError(
        `${values.length} updates in one step; EphemeralValue takes one`,
      );
    }
    this.#value = values[values.length - 1] as T;
    return true;
  }

  get(): T | Empty {
    return this.#value;
  }

  override available(): boolean {
    return this.#value !== EMPTY;
  }
}
