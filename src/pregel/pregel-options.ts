/** How an application is declared and how it is called. */
import type { z } from 'zod';
import type { Actor } from './actor.ts';
import type { BaseChannel } from './channels/channel.ts';
import type { Checkpointer } from './checkpoint.ts';
import type { Clock } from './clock.ts';
import type { Selection } from './events.ts';
import type { Durability } from './persister.ts';
import type { RetryPolicy } from './retry.ts';
import type { StopAt } from './run-options.ts';
import type { PregelStreamMode } from './stream-modes.ts';

/** Steps a run may take when the caller does not say. */
export const DEFAULT_RECURSION_LIMIT = 25;

export interface PregelOptions {
  readonly name?: string;
  readonly nodes: Readonly<Record<string, Actor>>;
  readonly channels: Readonly<Record<string, BaseChannel>>;
  /** Where input goes: an object by channel, or one channel's value. */
  readonly inputChannels: Selection;
  /** What a run gives back. */
  readonly outputChannels: Selection;
  /** What state and history show. Default: all channels. */
  readonly streamChannels?: Selection;
  /** false: keeps no state, even inside a graph that does. */
  readonly checkpointer?: Checkpointer | false;
  readonly interruptBefore?: StopAt;
  readonly interruptAfter?: StopAt;
  /** For actors that have none of their own. */
  readonly retry?: RetryPolicy;
  /** Milliseconds for one superstep. */
  readonly stepTimeoutMs?: number;
  readonly clock?: Clock;
  /** Boundary types; absent: taken from the channels. */
  readonly schemas?: GraphSchemas;
  /** Validates an update from outside. Default: none. */
  readonly parseUpdate?: (values: unknown) => unknown;
  /** Validates and orders a run's input. Default: each channel's own schema. */
  readonly parseInput?: (input: unknown) => unknown;
  /** The channel that wakes an actor which a Command goes to. */
  readonly wakeUp?: (actor: string) => string;
}

/** zod types of what crosses the boundary. */
export interface GraphSchemas {
  readonly input?: z.ZodType | undefined;
  readonly output?: z.ZodType | undefined;
  readonly state?: z.ZodType | undefined;
  readonly context?: z.ZodType | undefined;
}

/** Options of one call; named as in LangGraph's RunnableConfig. */
export interface CallOptions {
  /** `thread_id` selects the thread; `checkpoint_id` an older state of it; `run_id` this run. */
  readonly configurable?: Readonly<Record<string, unknown>>;
  /** Stored with each checkpoint. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly tags?: readonly string[];
  /** Given to actors as `context`. */
  readonly context?: unknown;
  readonly signal?: AbortSignal;
  /** Supersteps the run may take. Default 25. */
  readonly recursionLimit?: number;
  /** Default `async`. */
  readonly durability?: Durability;
  readonly maxConcurrency?: number;
  readonly interruptBefore?: StopAt;
  readonly interruptAfter?: StopAt;
  /** Instead of the application's. */
  readonly checkpointer?: Checkpointer;
  readonly clock?: Clock;
  /** Going on from a finished state throws EmptyInputError instead of returning it. */
  readonly idleIsError?: boolean;
}

export interface StreamOptions extends CallOptions {
  /** Default: updates. */
  readonly streamMode?: PregelStreamMode | readonly PregelStreamMode[];
  /** Also show graphs inside; each item then begins with a namespace. */
  readonly subgraphs?: boolean;
}
