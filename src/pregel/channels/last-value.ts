/** The default channel of a state: keeps what was written last. */
import type { z } from 'zod';
import { BaseChannel, EMPTY, InvalidUpdateError, type Empty } from './channel.ts';

/**
 * Stores the last value sent to it, for inputs, outputs, and data from one step to the next.
 *
 * Merge rule: one update per step replaces the value; two in one step are an error.
 * @throws {InvalidUpdateError} from `update`, for more than one update in a step
 * @see seed 004, "LastValue and Topic"
 */
export class LastValue<T> extends BaseChannel<T> {
  readonly kind: string = 'LastValue';
  protected value: T | Empty;
  protected readonly initial: (() => T) | undefined;

  /**
   * @param schema the value's type, for the boundary and the API's schemas
   * @param initial makes the value a new thread starts with
   */
  constructor(schema?: z.ZodType<T>, initial?: () => T) {
    super(schema);
    this.initial = initial;
    this.value = initial === undefined ? EMPTY : initial();
  }

  fresh(saved: unknown): LastValue<T> {
    const channel = new LastValue<T>(this.schema as z.ZodType<T> | undefined, this.initial);
    if (saved !== EMPTY) channel.value = saved as T;
    return channel;
  }

  update(values: readonly T[]): boolean {
    if (values.length === 0) return false;
    if (values.length > 1) {
      throw new InvalidUpdateError(
        `${values.length} updates in one step; ${this.kind} takes one. Use a reducer (BinaryOperatorAggregate) or a Topic to merge them.`,
      );
    }
    this.value = values[0] as T;
    return true;
  }

  get(): T | Empty {
    return this.value;
  }

  override available(): boolean {
    return this.value !== EMPTY;
  }
}

/**
 * Like LastValue, but never part of a checkpoint: caches, handles, large scratch data. A resumed
 * run starts with the initial value again.
 *
 * Merge rule: as LastValue; with `guard: false` the last of several updates of one step wins.
 * @throws {InvalidUpdateError} from `update`, for more than one update in a step while guarded
 * @see seed 004 (a channel StateGraph needs beside the basic ones)
 */
export class UntrackedValue<T> extends LastValue<T> {
  override readonly kind = 'UntrackedValue';
  override readonly untracked = true;
  readonly #guard: boolean;

  constructor(schema?: z.ZodType<T>, options: { guard?: boolean; initial?: () => T } = {}) {
    super(schema, options.initial);
    this.#guard = options.guard ?? true;
  }

  override fresh(): UntrackedValue<T> {
    return new UntrackedValue<T>(this.schema as z.ZodType<T> | undefined, {
      guard: this.#guard,
      ...(this.initial === undefined ? {} : { initial: this.initial }),
    });
  }

  override update(values: readonly T[]): boolean {
    return super.update(this.#guard ? values : values.slice(-1));
  }

  override save(): unknown {
    return EMPTY;
  }
}
