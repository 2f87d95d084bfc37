/**
 * What a channel is: a value type, an update type, and an update function that merges the updates
 * of one step (https://langchain-ai.github.io/langgraph/concepts/pregel, "Channels").
 *
 * One object is both the declaration and, through `fresh()`, the live channel of a run. `EMPTY`
 * stands for "no value yet", so that null and undefined can be values.
 */
import type { z } from 'zod';
import { AppError } from '../../errors.ts';

export const EMPTY: unique symbol = Symbol('pregel.empty');
export type Empty = typeof EMPTY;

/** The updates of one step cannot be merged, or are not of this channel's update type. */
export class InvalidUpdateError extends AppError {
  readonly code = 'update_invalid' as const;
}

export abstract class BaseChannel<Value = unknown, Update = Value> {
  /** Shown when channels are listed. */
  abstract readonly kind: string;
  /** True: the value lasts one step; a step that writes nothing clears it. */
  readonly transient: boolean = false;
  /** True: never written to a checkpoint. */
  readonly untracked: boolean = false;
  /** Value type at the boundary and in the API's schemas. Steps do not validate. */
  readonly schema: z.ZodType | undefined;

  constructor(schema?: z.ZodType) {
    this.schema = schema;
  }

  /** @returns a new channel of the same declaration, holding `saved` (what `save` returned) or its initial value for EMPTY */
  abstract fresh(saved: unknown): BaseChannel<Value, Update>;

  /**
   * Merges all updates of one step, in the order of actors. No updates: a step passed by.
   * @returns true when the channel changed
   * @throws {InvalidUpdateError}
   */
  abstract update(values: readonly Update[]): boolean;

  /** @returns the value, or EMPTY */
  abstract get(): Value | Empty;

  available(): boolean {
    return this.get() !== EMPTY;
  }

  /** @returns what a checkpoint keeps, or EMPTY for nothing */
  save(): unknown {
    return this.get();
  }

  /** Called when an actor that subscribes to this channel was run by it. @returns true when the channel changed */
  consume(): boolean {
    return false;
  }

  /** Called when the graph would end. @returns true when the channel became available by that */
  finish(): boolean {
    return false;
  }
}
