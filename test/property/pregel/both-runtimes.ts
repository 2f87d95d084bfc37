/** The same random graph on both runtimes, and what they did in comparable terms. */
import * as LangGraph from '@langchain/langgraph';
import { z } from 'zod';
import * as Ours from '../../../src/pregel/index.ts';
import {
  chosen,
  END,
  runNode,
  runNodeNow,
  sendArgs,
  STEPS_MAX,
  type GraphSpec,
  type NodeInput,
  type NodeSpec,
  type NodeUpdate,
  type RouteTarget,
  type RunTrace,
  type Trace,
} from './random-graph.ts';

/** What differs between the two when a graph is built and driven. */
interface Runtime {
  readonly send: (node: string, args: unknown) => unknown;
  readonly command: (fields: { update?: unknown; goto?: unknown; resume?: unknown }) => unknown;
  readonly ask: (question: string) => unknown;
}

interface Interrupted {
  readonly id: string;
  readonly value: string;
}
interface Snapshot {
  readonly values: unknown;
  readonly next: readonly string[];
  readonly tasks: readonly { readonly name: string; readonly interrupts: readonly Interrupted[] }[];
  readonly metadata?: { readonly source?: string; readonly step?: number } | undefined;
}
/** The part of a compiled graph that both have. */
interface App {
  stream(input: unknown, options: object): AsyncIterable<unknown> | Promise<AsyncIterable<unknown>>;
  getState(options: object): Promise<Snapshot>;
  getStateHistory(options: object): AsyncIterable<Snapshot>;
}

const targetsOf = (
  runtime: Runtime,
  targets: readonly RouteTarget[],
  input: NodeInput,
): unknown[] =>
  targets.map((target) =>
    typeof target === 'string' ? target : runtime.send(target.send, sendArgs(input)),
  );

/** A node function for either runtime: synchronous when the spec says so. */
function nodeFunction(spec: NodeSpec, runtime: Runtime, calls: Map<string, number>) {
  const result = (update: NodeUpdate, input: NodeInput): unknown => {
    const goto = targetsOf(
      runtime,
      spec.goto.filter((target) => target !== END),
      input,
    );
    return goto.length === 0 ? update : runtime.command({ update, goto });
  };
  return (input: NodeInput): unknown =>
    spec.turns === 0
      ? result(runNodeNow(spec, input, calls, runtime.ask), input)
      : runNode(spec, input, calls, runtime.ask).then((update) => result(update, input));
}

const oursRuntime: Runtime = {
  send: (node, args) => new Ours.Send(node, args),
  command: (fields) => new Ours.Command(fields as object),
  ask: (question) => Ours.interrupt(question),
};

const State = z.object({
  sum: Ours.reduced(z.number(), { reduce: (a, b) => a + b, initial: () => 0 }),
  log: Ours.reduced(z.array(z.string()), { reduce: (a, b) => [...a, ...b], initial: () => [] }),
  last: z.string().optional(),
});

export function buildOurs(spec: GraphSpec, checkpointer: Ours.Checkpointer): App {
  const calls = new Map<string, number>();
  // The builder's types follow the names of nodes, which are not known here.
  const graph = new Ours.StateGraph(State) as unknown as Ours.StateGraph<typeof State, string>;
  for (const node of spec.nodes) {
    graph.addNode(node.name, nodeFunction(node, oursRuntime, calls) as never);
  }
  for (const [from, to] of spec.edges) graph.addEdge(from, to);
  for (const [from, to] of spec.joins) graph.addEdge(from, to);
  for (const { from, choices } of spec.routes) {
    graph.addConditionalEdges(
      from,
      (state) => targetsOf(oursRuntime, chosen(choices, state), state) as never,
    );
  }
  const app = graph.compile({
    checkpointer,
    interruptBefore: spec.interruptBefore,
    interruptAfter: spec.interruptAfter,
  });
  return app as unknown as App;
}

const theirRuntime: Runtime = {
  send: (node, args) => new LangGraph.Send(node, args),
  command: (fields) => new LangGraph.Command(fields as object),
  ask: (question) => LangGraph.interrupt(question),
};

const Annotated = LangGraph.Annotation.Root({
  sum: LangGraph.Annotation<number>({ reducer: (a, b) => a + b, default: () => 0 }),
  log: LangGraph.Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  last: LangGraph.Annotation<string>(),
});

export function buildLangGraph(spec: GraphSpec): App {
  const calls = new Map<string, number>();
  // The builder's types follow the names of nodes, which are not known here.
  const graph = new LangGraph.StateGraph(Annotated) as unknown as {
    addNode(name: string, fn: unknown, options: object): void;
    addEdge(from: string | readonly string[], to: string): void;
    addConditionalEdges(from: string, route: unknown): void;
    compile(options: object): App;
  };
  const ends = spec.nodes.map((node) => node.name);
  for (const node of spec.nodes) {
    graph.addNode(node.name, nodeFunction(node, theirRuntime, calls), { ends });
  }
  for (const [from, to] of spec.edges) graph.addEdge(from, to);
  for (const [from, to] of spec.joins) graph.addEdge(from, to);
  for (const { from, choices } of spec.routes) {
    graph.addConditionalEdges(from, (state: NodeInput) =>
      targetsOf(theirRuntime, chosen(choices, state), state),
    );
  }
  return graph.compile({
    checkpointer: new LangGraph.MemorySaver(),
    interruptBefore: spec.interruptBefore,
    interruptAfter: spec.interruptAfter,
  });
}

/** Drives a graph to its end: answers every interrupt, tries again after every failure. */
export async function trace(
  app: App,
  runtime: 'ours' | 'langgraph',
  runsMax: number,
): Promise<Trace> {
  const build = runtime === 'ours' ? oursRuntime : theirRuntime;
  const configurable = { thread_id: 't' };
  const runs: RunTrace[] = [];
  let input: unknown = { sum: 1, log: ['in'] };
  for (let count = 0; count < runsMax; count += 1) {
    const run = await traceRun(app, input, configurable);
    runs.push(run.trace);
    const { error } = run.trace;
    if (error === 'GraphRecursionError' || error === 'InvalidUpdateError') break;
    if (run.snapshot === undefined) break;
    let { asked } = run;
    if (runtime === 'ours') {
      if (error === undefined) checkShown(run.snapshot, asked);
      // After a failure, questions that the run did not get to are open too.
      asked = run.snapshot.tasks.flatMap((task) => task.interrupts);
    }
    if (run.snapshot.next.length === 0 && asked.length === 0) break;
    const answer = (value: string): string => `a:${value}`;
    if (asked.length === 0) input = null;
    else if (asked.length === 1) {
      input = build.command({ resume: answer(asked[0]!.value) });
    } else {
      input = build.command({
        resume: Object.fromEntries(asked.map((each) => [each.id, answer(each.value)])),
      });
    }
  }
  const history: unknown[] = [];
  for await (const snapshot of app.getStateHistory({ configurable })) {
    history.push({
      values: snapshot.values,
      next: [...snapshot.next].sort(),
      source: snapshot.metadata?.source,
      step: snapshot.metadata?.step,
    });
  }
  return { runs, history };
}

async function traceRun(
  app: App,
  input: unknown,
  configurable: object,
): Promise<{ trace: RunTrace; snapshot: Snapshot | undefined; asked: Interrupted[] }> {
  const values: unknown[] = [];
  const updates: string[] = [];
  const asked: Interrupted[] = [];
  let error: string | undefined;
  try {
    const stream = await app.stream(input, {
      configurable,
      streamMode: ['values', 'updates'],
      recursionLimit: STEPS_MAX,
      durability: 'sync',
    });
    for await (const event of stream) {
      const [mode, payload] = event as [string, Record<string, unknown>];
      if (mode === 'values') values.push(withoutIds(payload));
      else {
        updates.push(JSON.stringify(withoutIds(payload)));
        asked.push(...((payload['__interrupt__'] as Interrupted[] | undefined) ?? []));
      }
    }
  } catch (thrown) {
    error = kindOf(thrown);
  }
  // LangGraph's getState throws for a thread that stopped at updates it cannot merge.
  const snapshot =
    error === 'InvalidUpdateError' ? undefined : await app.getState({ configurable });
  return {
    snapshot,
    asked,
    trace: {
      values: sortedInterrupts(values),
      updates: updates.sort(),
      error,
      state: snapshot && {
        values: snapshot.values,
        // LangGraph leaves a task out of `next` when it was answered once and asks again.
        next: asked.length > 0 ? undefined : [...snapshot.next].sort(),
        interrupts: asked.map((each) => each.value).sort(),
      },
    },
  };
}

/** Our state shows exactly the interrupts that are open. */
function checkShown(snapshot: Snapshot, asked: readonly Interrupted[]): void {
  const shown = snapshot.tasks.flatMap((task) => task.interrupts.map((each) => each.id)).sort();
  const open = asked.map((each) => each.id).sort();
  if (shown.join() !== open.join()) throw new Error(`shown: ${shown.join()} open: ${open.join()}`);
}

/** Interrupt ids differ by design; what was asked must not. */
function withoutIds(payload: Record<string, unknown>): unknown {
  const interrupts = payload['__interrupt__'] as Interrupted[] | undefined;
  if (interrupts === undefined) return payload;
  return { ...payload, __interrupt__: interrupts.map((each) => each.value).sort() };
}

/** Several interrupts of one step come in the order their tasks ended, which is not compared. */
function sortedInterrupts(values: readonly unknown[]): unknown[] {
  const sorted: unknown[] = [];
  let group: string[] = [];
  const flush = (): void => {
    sorted.push(...group.sort().map((text) => JSON.parse(text) as unknown));
    group = [];
  };
  for (const value of values) {
    if (Ours.isInterrupted(value)) group.push(JSON.stringify(value));
    else {
      flush();
      sorted.push(value);
    }
  }
  flush();
  return sorted;
}

/** Errors of the runtimes by class; those of nodes by message. */
function kindOf(thrown: unknown): string {
  const { name, message } = thrown as Error;
  return ['GraphRecursionError', 'InvalidUpdateError', 'EmptyInputError'].includes(name)
    ? name
    : message;
}
