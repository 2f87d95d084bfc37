/**
 * What an actor is to the algorithm: the channels that select it, how its input is read, what it
 * does, and how its result becomes writes (seed 004, "Actors").
 *
 * The declaration is plain data and functions. `Channel.subscribeTo(...)` (actor-builder.ts),
 * StateGraph and entrypoint all produce it.
 */
import type { Clock } from './clock.ts';
import type { RetryPolicy } from './retry.ts';

/** RunnableConfig, as far as the runtime uses it. */
export interface ActorConfig {
  readonly configurable: Readonly<Record<string, unknown>>;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly tags: readonly string[];
}

export interface EffectOptions {
  /**
   * What to do when an earlier attempt began this effect and left no trace of its end:
   * `'error'` (default) reports it, `'repeat'` runs it again (for effects that are idempotent).
   */
  readonly onUnknown?: 'error' | 'repeat';
}

/** What an actor's function gets beside its input. */
export interface ActorContext<Context = unknown> {
  /** The actor's name. */
  readonly name: string;
  /** The superstep, 0 for the first. */
  readonly step: number;
  /** The same on every attempt at this task. */
  readonly taskId: string;
  readonly threadId: string | undefined;
  /** 1, and more when the retry policy tries again. */
  readonly attempt: number;
  readonly config: ActorConfig;
  /** What the caller passed as `context`. */
  readonly context: Context;
  /** What the previous run on this thread saved (functional API). */
  readonly previous: unknown;
  readonly clock: Clock;
  /** Aborted by the caller, the step's or the actor's timeout, or a sibling's failure. */
  readonly signal: AbortSignal;
  /** Stops the run here. Returns what it is resumed with. */
  // The caller knows the type of the answer.
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
  interrupt<Answer = unknown>(value: unknown): Answer;
  /** Runs `fn` once per (thread, step, key), over all attempts. */
  effect<T>(key: string, fn: () => T | Promise<T>, options?: EffectOptions): Promise<T>;
  /** Emits an event of stream mode `custom`. */
  write(data: unknown): void;
  /** Emits a chunk of a message in stream mode `messages`. */
  message(chunk: unknown, metadata?: Readonly<Record<string, unknown>>): void;
  /** A channel's value as of the last step, with this actor's own writes if `fresh`. Undefined: empty. */
  read(channel: string, fresh?: boolean): unknown;
}

/** How a result becomes writes. */
export interface Writer {
  /** Writes `value` to a channel at the end of this step. */
  push(channel: string, value: unknown): void;
  /** The channel's value with the writes pushed so far. Undefined: empty. */
  readFresh(channel: string): unknown;
}

/** One value, or an object of several channels' values (`as` → channel). */
export type ActorInput =
  | { readonly kind: 'value'; readonly channels: readonly string[] }
  | { readonly kind: 'object'; readonly fields: Readonly<Record<string, string>> };

/** Node to node, for drawing. */
export interface ActorEdge {
  readonly target: string;
  readonly conditional?: boolean;
  readonly label?: string;
}

export interface Actor {
  /** Any of these, updated, selects the actor. */
  readonly triggers: readonly string[];
  readonly input: ActorInput;
  /** Last change to the input, e.g. a default. */
  run(input: never, context: ActorContext): unknown;
  write(result: unknown, writer: Writer, context: ActorContext): void | Promise<void>;
  /** Channels that `write` may write to, for drawing. */
  readonly writes?: readonly string[];
  /** Where control goes from here, when the builder knows it. */
  readonly edges?: readonly ActorEdge[];
  readonly retry?: RetryPolicy;
  /** Milliseconds for one attempt. */
  readonly timeoutMs?: number;
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** Not shown in streams, state or drawings. */
  readonly hidden?: boolean;
  /** Graphs this actor runs: their states are shown with its own. */
  readonly subgraph?: object;
}
