/**
 * From nodes and edges to actors and channels. Every node gets a channel `branch:to:<node>` that
 * wakes it; an edge is a write to that channel, a join is a barrier, a conditional edge reads the
 * state with the node's own writes and then writes. The input enters through the actor
 * `__start__`, whose step is the first of a run. Names are LangGraph's: state and events of the
 * same graph look alike in both runtimes.
 */
import { z } from 'zod';
import type { Actor, ActorContext, ActorEdge, Writer } from './actor.ts';
import { AfterFinish, Barrier } from './channels/barrier.ts';
import { InvalidUpdateError } from './channels/channel.ts';
import { EphemeralValue } from './channels/ephemeral-value.ts';
import { gotoList, isCommand, isSend, ParentCommand, Command } from './control.ts';
import type {
  BranchDeclaration,
  CompileOptions,
  GraphDeclaration,
  NodeDeclaration,
} from './graph-declaration.ts';
import { InputInvalidError } from './pregel-input.ts';
import { isPregel, Pregel } from './pregel.ts';
import { END, START, TASKS } from './reserved.ts';
import { mergeChannels, stateChannels, updateSchema } from './state-schema.ts';
import { GraphInvalidError } from './topology.ts';

const wakeUp = (node: string): string => `branch:to:${node}`;

/** @throws {GraphInvalidError} */
export function compileGraph(graph: GraphDeclaration, options: CompileOptions): Pregel {
  validate(graph);
  const channels = stateChannels(graph.state);
  mergeChannels(channels, graph.input);
  mergeChannels(channels, graph.output);
  for (const { options: node } of graph.nodes.values()) mergeChannels(channels, node.input);
  const fields = Object.keys(channels);
  const known: ReadonlySet<string> = new Set(fields);

  channels[START] = new EphemeralValue(graph.input ?? undefined);
  for (const [name, node] of graph.nodes) {
    channels[wakeUp(name)] =
      node.options.defer === true
        ? new AfterFinish()
        : new EphemeralValue(undefined, { guard: false });
  }
  for (const [from, to] of graph.joins) {
    channels[joinName(from, to)] = new Barrier(from, {
      deferred: graph.nodes.get(to)?.options.defer === true,
    });
  }

  const nodes: Record<string, Actor> = {};
  nodes[START] = {
    triggers: [START],
    input: { kind: 'value', channels: [START] },
    run: (input) => input,
    write: writerOf(START, graph, known),
    edges: edgesOf(START, graph),
    hidden: true,
  };
  for (const [name, node] of graph.nodes) {
    nodes[name] = actorOf(name, node, graph, fields, known);
  }

  const update = updateSchema(graph.state);
  const parse = (schema: z.ZodType, what: string) => (value: unknown) =>
    parsed(schema, value, what);
  return new Pregel({
    name: options.name ?? 'StateGraph',
    nodes,
    channels,
    inputChannels: START,
    outputChannels: graph.output === undefined ? fields : Object.keys(graph.output.shape),
    streamChannels: fields,
    parseInput: parse(graph.input ?? update, 'the input'),
    parseUpdate: (values) => parseUpdate(update, values),
    wakeUp,
    schemas: {
      input: graph.input ?? update,
      output: graph.output ?? graph.state,
      state: graph.state,
      context: graph.context,
    },
    ...(options.checkpointer === undefined ? {} : { checkpointer: options.checkpointer }),
    ...(options.interruptBefore === undefined ? {} : { interruptBefore: options.interruptBefore }),
    ...(options.interruptAfter === undefined ? {} : { interruptAfter: options.interruptAfter }),
    ...(options.retry === undefined ? {} : { retry: options.retry }),
    ...(options.stepTimeoutMs === undefined ? {} : { stepTimeoutMs: options.stepTimeoutMs }),
    ...(options.clock === undefined ? {} : { clock: options.clock }),
  });
}

function parsed(schema: z.ZodType, value: unknown, what: string): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new InputInvalidError(`${what}: ${z.prettifyError(result.error)}`);
}

/** Updates from outside may be null (nothing), Commands or lists of both, as nodes return them. */
function parseUpdate(schema: z.ZodType, values: unknown): unknown {
  if (values === null || values === undefined || isCommand(values)) return values;
  if (Array.isArray(values)) return values.map((value) => parseUpdate(schema, value));
  return parsed(schema, values, 'the update');
}

function actorOf(
  name: string,
  { action, options }: NodeDeclaration,
  graph: GraphDeclaration,
  fields: readonly string[],
  known: ReadonlySet<string>,
): Actor {
  const read = options.input === undefined ? fields : Object.keys(options.input.shape);
  const joins = graph.joins.filter(([, to]) => to === name).map(([from, to]) => joinName(from, to));
  const nested = isPregel(action) ? action : undefined;
  return {
    triggers: [wakeUp(name), ...joins],
    input: { kind: 'object', fields: Object.fromEntries(read.map((field) => [field, field])) },
    run:
      nested === undefined
        ? (action as (state: never, context: ActorContext) => unknown)
        : (state) => nested.invoke(state),
    write: writerOf(name, graph, known),
    edges: edgesOf(name, graph),
    ...(options.retry === undefined ? {} : { retry: options.retry }),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    ...(options.metadata === undefined ? {} : { metadata: options.metadata }),
    ...(nested === undefined ? {} : { subgraph: nested }),
  };
}

/** State, then gotos, then edges, then branches; synchronous unless a route is not. */
function writerOf(
  name: string,
  graph: GraphDeclaration,
  known: ReadonlySet<string>,
): Actor['write'] {
  const targets = graph.edges
    .filter(([from, to]) => from === name && to !== END)
    .map(([, to]) => wakeUp(to));
  const joins = graph.joins
    .filter(([from]) => from.includes(name))
    .map(([from, to]) => joinName(from, to));
  const branches = graph.branches.get(name) ?? [];
  const check = (node: string): void => {
    if (!graph.nodes.has(node)) {
      throw new InvalidUpdateError(`"${name}" goes to "${node}", which is no node of this graph`);
    }
  };
  const go = (target: unknown, writer: Writer): void => {
    if (target === END) return;
    if (isSend(target)) {
      check(target.node);
      writer.push(TASKS, target);
    } else if (typeof target === 'string') {
      check(target);
      writer.push(wakeUp(target), null);
    } else {
      throw new InvalidUpdateError(
        `"${name}" goes to ${String(target)}; expected a node, a Send or END`,
      );
    }
  };
  return (result, writer, context) => {
    writeState(name, result, known, writer, go);
    for (const channel of targets) writer.push(channel, null);
    for (const channel of joins) writer.push(channel, name);
    if (branches.length === 0) return undefined;
    const state = readState(known, writer);
    let waiting: Promise<void> | undefined;
    for (const branch of branches) {
      const choice = (branch.route as (state: unknown, context: ActorContext) => unknown)(
        state,
        context,
      );
      const take = (chosen: unknown): void => {
        for (const each of Array.isArray(chosen) ? (chosen as unknown[]) : [chosen]) {
          go(targetOf(name, branch, each), writer);
        }
      };
      if (!(choice instanceof Promise)) take(choice);
      else {
        const before = waiting;
        waiting = choice.then(async (chosen: unknown) => {
          await before;
          take(chosen);
        });
      }
    }
    return waiting;
  };
}

/** Writes an update, a Command, or a list of them. */
function writeState(
  name: string,
  result: unknown,
  known: ReadonlySet<string>,
  writer: Writer,
  go: (target: unknown, writer: Writer) => void,
): void {
  if (result === null || result === undefined) return;
  if (isCommand(result)) {
    if (result.graph === Command.PARENT) throw new ParentCommand(result);
    writeState(name, result.update, known, writer, go);
    for (const target of gotoList(result.goto)) go(target, writer);
    return;
  }
  if (isSend(result)) {
    go(result, writer);
    return;
  }
  if (typeof result !== 'object' || (Array.isArray(result) && !result.some(isCommand))) {
    throw new InvalidUpdateError(
      `"${name}" returned ${Array.isArray(result) ? 'a list without a Command' : typeof result}; expected an object with fields of the state, or a Command`,
    );
  }
  if (Array.isArray(result)) {
    for (const each of result) writeState(name, each, known, writer, go);
    return;
  }
  const update = result as Record<string, unknown>;
  for (const key in update) {
    // A field that is undefined is one the node says nothing about.
    if (update[key] !== undefined && known.has(key)) writer.push(key, update[key]);
  }
}

function readState(known: ReadonlySet<string>, writer: Writer): Record<string, unknown> {
  const state: Record<string, unknown> = {};
  for (const field of known) {
    const value = writer.readFresh(field);
    if (value !== undefined) state[field] = value;
  }
  return state;
}

function targetOf(name: string, { targets }: BranchDeclaration, choice: unknown): unknown {
  if (targets === undefined || isSend(choice)) return choice;
  const key = typeof choice === 'boolean' ? String(choice) : choice;
  const target = typeof key === 'string' ? targets[key] : undefined;
  if (target === undefined) {
    throw new InvalidUpdateError(
      `the route from "${name}" chose ${String(choice)}; expected one of ${Object.keys(targets).join(', ')}`,
    );
  }
  return target;
}

const joinName = (from: readonly string[], to: string): string => `join:${from.join('+')}:${to}`;

function edgesOf(name: string, graph: GraphDeclaration): ActorEdge[] {
  const edges: ActorEdge[] = [];
  for (const [from, to] of graph.edges) if (from === name) edges.push({ target: to });
  for (const [from, to] of graph.joins) if (from.includes(name)) edges.push({ target: to });
  const all = [...graph.nodes.keys(), END];
  for (const { targets } of graph.branches.get(name) ?? []) {
    const choices =
      targets === undefined
        ? all.filter((node) => node !== name).map((node): [string, string] => [node, node])
        : Object.entries(targets);
    for (const [label, target] of choices) {
      edges.push({ target, conditional: true, ...(label === target ? {} : { label }) });
    }
  }
  for (const target of graph.nodes.get(name)?.options.ends ?? []) {
    edges.push({ target, conditional: true });
  }
  // A node that leads nowhere ends the graph.
  if (edges.length === 0 && name !== START) edges.push({ target: END });
  return edges;
}

function validate(graph: GraphDeclaration): void {
  const exists = (name: string, what: string): void => {
    if (!graph.nodes.has(name)) throw new GraphInvalidError(`${what} "${name}", which is no node`);
  };
  for (const [from, to] of graph.edges) {
    if (from !== START) exists(from, 'an edge starts at');
    if (to !== END) exists(to, 'an edge leads to');
  }
  for (const [from, to] of graph.joins) {
    for (const name of from) exists(name, 'an edge starts at');
    exists(to, 'a join leads to');
  }
  for (const [from, branches] of graph.branches) {
    if (from !== START) exists(from, 'a conditional edge starts at');
    for (const { targets } of branches) {
      for (const target of Object.values(targets ?? {})) {
        if (target !== END) exists(target, 'a conditional edge leads to');
      }
    }
  }
  for (const [name, { options }] of graph.nodes) {
    for (const target of options.ends ?? []) {
      if (target !== END) exists(target, `"${name}" goes to`);
    }
  }
  if (!graph.edges.some(([from]) => from === START) && !graph.branches.has(START)) {
    throw new GraphInvalidError(`no edge starts at ${START}: the graph has no entry`);
  }
}
