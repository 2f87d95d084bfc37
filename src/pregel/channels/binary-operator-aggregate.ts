/** A persistent value with a reducer. */
import type { z } from 'zod';
import { BaseChannel, EMPTY, InvalidUpdateError, type Empty } from './channel.ts';

/** An update that replaces the value of a reducer channel instead of going through its operator. */
export interface Overwrite<T = unknown> {
  readonly __overwrite__: T;
}
/** Replaces the value of a reducer channel. Updates after it in the same step are dropped. */
export const overwrite = <T>(value: T): Overwrite<T> => ({ __overwrite__: value });
const isOverwrite = (value: unknown): value is Overwrite =>
  typeof value === 'object' && value !== null && '__overwrite__' in value;

/**
 * Applies a binary operator to the current value and each update, for aggregates over many steps.
 *
 * Merge rule: folds the step's updates into the value, in the order of actors. Without an initial
 * value the first update becomes the value. `overwrite(v)` replaces the value; later updates of
 * that step are dropped.
 * @throws {InvalidUpdateError} from `update`, for two overwrites in one step
 * @see seed 004, "Context and BinaryOperatorAggregate"
 */
export class BinaryOperatorAggregate<T, U = T> extends BaseChannel<T, U | Overwrite<T>> {
  readonly kind = 'BinaryOperatorAggregate';
  readonly operator: (current: T, update: U) => T;
  readonly #initial: (() => T) | undefined;
  #value: T | Empty;

  /** @param operator pure; returns a new value rather than changing `current` */
  constructor(
    schema: z.ZodType<T> | undefined,
    operator: (current: T, update: U) => T,
    initial?: () => T,
  ) {
    super(schema);
    this.operator = operator;
    this.#initial = initial;
    this.#value = initial === undefined ? EMPTY : initial();
  }

  fresh(saved: unknown): BinaryOperatorAggregate<T, U> {
    const channel = new BinaryOperatorAggregate<T, U>(
      this.schema as z.ZodType<T> | undefined,
      this.operator,
      this.#initial,
    );
    if (saved !== EMPTY) channel.#value = saved as T;
    return channel;
  }

  update(values: readonly (U | Overwrite<T>)[]): boolean {
    if (values.length === 0) return false;
    let value = this.#value;
    let overwritten = false;
    for (const update of values) {
      if (isOverwrite(update)) {
        if (overwritten) throw new InvalidUpdateError('two overwrites in one step');
        value = update.__overwrite__;
        overwritten = true;
      } else if (!overwritten) {
        value = value === EMPTY ? (update as unknown as T) : this.operator(value, update);
      }
    }
    this.#value = value;
    return true;
  }

  get(): T | Empty {
    return this.#value;
  }

  override available(): boolean {
    return this.#value !== EMPTY;
  }
}
