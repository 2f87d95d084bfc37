/**
 * The graph API: nodes that read a state and return updates of it, and edges between them
 * (seed 004, "High-level API"). `compile()` turns it into a Pregel application (compile.ts).
 *
 *   new StateGraph(State)
 *     .addNode('write', (state) => ({ content: `Essay about ${state.topic}` }))
 *     .addEdge(START, 'write')
 *     .compile()
 */
import type { z } from 'zod';
import { compileGraph } from './compile.ts';
import type {
  BranchDeclaration,
  CompileOptions,
  NodeDeclaration,
  NodeFunction,
  NodeOptions,
  Route,
  RouteFunction,
} from './graph-declaration.ts';
import type { Pregel } from './pregel.ts';
import { END, START } from './reserved.ts';
import type { StateOf, StateSchema, UpdateOf } from './state-schema.ts';
import { GraphInvalidError } from './topology.ts';

export interface StateGraphOptions<I, O, C> {
  /** What callers pass, when it is not any part of the state. Validated as a whole. */
  input?: I;
  /** What callers get, when it is not the whole state. */
  output?: O;
  /** Type of the caller's `context`. */
  context?: C;
}

export class StateGraph<
  S extends StateSchema,
  Nodes extends string = never,
  I extends StateSchema = S,
  O extends StateSchema = S,
  C extends z.ZodType = z.ZodUnknown,
> {
  /** The names of the nodes so far; for the type checker only. */
  declare readonly nodeNames: Nodes;
  readonly #state: S;
  readonly #options: StateGraphOptions<I, O, C>;
  readonly #nodes = new Map<string, NodeDeclaration>();
  readonly #edges: [string, string][] = [];
  readonly #joins: [readonly string[], string][] = [];
  readonly #branches = new Map<string, BranchDeclaration[]>();

  constructor(state: S, options: StateGraphOptions<I, O, C> = {}) {
    this.#state = state;
    this.#options = options;
  }

  /**
   * @param action a function of the state, or a compiled graph that shares fields with it
   * @throws {GraphInvalidError} for a name that is taken, reserved, or a field of the state
   */
  addNode<Name extends string>(
    name: Name,
    action: NodeFunction<StateOf<S>, UpdateOf<S>, z.output<C>, string> | Pregel<never>,
    options: NodeOptions = {},
    // It is the same object, with one name more in its type.
    // eslint-disable-next-line @typescript-eslint/prefer-return-this-type
  ): StateGraph<S, Nodes | Name, I, O, C> {
    if (name === START || name === END || /[|:]/.test(name)) {
      throw new GraphInvalidError(`"${name}" is no possible name of a node`);
    }
    if (this.#nodes.has(name)) throw new GraphInvalidError(`there are two nodes "${name}"`);
    if (Object.hasOwn(this.#state.shape, name)) {
      throw new GraphInvalidError(`"${name}" is a field of the state and cannot be a node too`);
    }
    this.#nodes.set(name, {
      action,
      options,
    });
    return this;
  }

  /** From a node (or START) to the next; from several: when all of them have run. */
  addEdge(from: Nodes | typeof START | readonly Nodes[], to: Nodes | typeof END): this {
    if (typeof from === 'string') this.#edges.push([from, to]);
    else this.#joins.push([from, to]);
    return this;
  }

  /** Lets `route` choose, with the state as `from` has just left it. */
  addConditionalEdges(
    from: Nodes | typeof START,
    route: RouteFunction<StateOf<S>, z.output<C>, Route<Nodes>>,
  ): this;
  /** The same with names for the choices. */
  addConditionalEdges<Targets extends Readonly<Record<string, Nodes | typeof END>>>(
    from: Nodes | typeof START,
    route: RouteFunction<StateOf<S>, z.output<C>, keyof Targets | readonly (keyof Targets)[]>,
    targets: Targets,
  ): this;
  addConditionalEdges(
    from: Nodes | typeof START,
    route: RouteFunction<StateOf<S>, z.output<C>, unknown>,
    targets?: Readonly<Record<string, string>>,
  ): this {
    const branches = this.#branches.get(from) ?? [];
    branches.push({ route, targets });
    this.#branches.set(from, branches);
    return this;
  }

  /** Nodes one after the other, with edges between them. */
  addSequence<Name extends string>(
    nodes: readonly (readonly [
      Name,
      NodeFunction<StateOf<S>, UpdateOf<S>, z.output<C>, string> | Pregel<never>,
    ])[],
    // eslint-disable-next-line @typescript-eslint/prefer-return-this-type
  ): StateGraph<S, Nodes | Name, I, O, C> {
    let previous: string | undefined;
    for (const [name, action] of nodes) {
      this.addNode(name, action);
      if (previous !== undefined) this.#edges.push([previous, name]);
      previous = name;
    }
    return this;
  }

  /** @throws {GraphInvalidError} when an edge leads nowhere or nothing is reached from START */
  compile(options: CompileOptions = {}): Pregel<InputOf<S, I>, StateOf<O>> {
    const { input, output, context } = this.#options;
    return compileGraph(
      {
        state: this.#state,
        input,
        output,
        context,
        nodes: this.#nodes,
        edges: this.#edges,
        joins: this.#joins,
        branches: this.#branches,
      },
      options,
    ) as Pregel<InputOf<S, I>, StateOf<O>>;
  }
}

/** With an input schema, that; else any part of the state. */
export type InputOf<S extends StateSchema, I extends StateSchema> = I extends S
  ? S extends I
    ? UpdateOf<S>
    : z.input<I>
  : z.input<I>;
