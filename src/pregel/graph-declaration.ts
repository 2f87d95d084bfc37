/** What the graph API collects, and what compile.ts reads. */
import type { z } from 'zod';
import type { ActorContext } from './actor.ts';
import type { Checkpointer } from './checkpoint.ts';
import type { Clock } from './clock.ts';
import type { Command, Send } from './control.ts';
import type { Pregel } from './pregel.ts';
import type { END } from './reserved.ts';
import type { RetryPolicy } from './retry.ts';
import type { StopAt } from './run-options.ts';
import type { StateSchema } from './state-schema.ts';

/** What a node may return: an update, a Command, a list with Commands, or nothing. */
export type NodeResult<Update, Nodes extends string> =
  | Update
  | Command<Nodes, Update>
  | readonly (Update | Command<Nodes, Update>)[]
  | null
  | undefined
  // A node that returns nothing.
  // eslint-disable-next-line @typescript-eslint/no-invalid-void-type
  | void;

export type NodeFunction<State, Update, Context, Nodes extends string> = (
  state: State,
  context: ActorContext<Context>,
) => NodeResult<Update, Nodes> | Promise<NodeResult<Update, Nodes>>;

/** Chooses where to go: node names, END, or Sends. */
export type Route<Nodes extends string> =
  Nodes | typeof END | Send | readonly (Nodes | typeof END | Send)[];

export type RouteFunction<State, Context, Choice> = (
  state: State,
  context: ActorContext<Context>,
) => Choice | Promise<Choice>;

export interface NodeOptions {
  retry?: RetryPolicy;
  /** Milliseconds for one attempt. */
  timeoutMs?: number;
  metadata?: Readonly<Record<string, unknown>>;
  /** Waits until nothing else is left to run. */
  defer?: boolean;
  /** Where its Commands may go: for drawing, and checked at compile time. */
  ends?: readonly string[];
  /** Reads these fields instead of the whole state. */
  input?: StateSchema;
}

export interface CompileOptions {
  name?: string;
  checkpointer?: Checkpointer | false;
  interruptBefore?: StopAt;
  interruptAfter?: StopAt;
  /** For nodes that have none of their own. */
  retry?: RetryPolicy;
  stepTimeoutMs?: number;
  clock?: Clock;
}

/** A node as declared. */
export interface NodeDeclaration {
  readonly action: NodeFunction<never, unknown, never, string> | Pregel<never>;
  readonly options: NodeOptions;
}

/** A conditional edge as declared. */
export interface BranchDeclaration {
  readonly route: RouteFunction<never, never, unknown>;
  /** What the route returns → node; undefined: it returns nodes. */
  readonly targets: Readonly<Record<string, string>> | undefined;
}

/** Everything `compile` needs. */
export interface GraphDeclaration {
  readonly state: StateSchema;
  readonly input: StateSchema | undefined;
  readonly output: StateSchema | undefined;
  readonly context: z.ZodType | undefined;
  readonly nodes: ReadonlyMap<string, NodeDeclaration>;
  readonly edges: readonly (readonly [string, string])[];
  /** Edges that wait for several nodes. */
  readonly joins: readonly (readonly [readonly string[], string])[];
  readonly branches: ReadonlyMap<string, readonly BranchDeclaration[]>;
}
