/**
 * What we need of a compiled LangGraph.js graph, by shape: a project may bring its own copy of the library,
 * and recognising a graph must not load ours (176 ms, 39 MiB).
 */
import type { TransformerFactory } from './protocol-pipeline.ts';

export interface StateSnapshot {
  values: unknown;
  next: string[];
  tasks: SnapshotTask[];
  metadata?: Record<string, unknown>;
  createdAt?: string;
  config: LangGraphConfig;
  parentConfig?: LangGraphConfig;
}

export interface SnapshotTask {
  id: string;
  name: string;
  path?: unknown;
  error?: unknown;
  interrupts: unknown[];
  state?: StateSnapshot | LangGraphConfig;
  result?: unknown;
}

export interface LangGraphConfig {
  configurable?: Record<string, unknown>;
  [option: string]: unknown;
}

export interface StreamEvent {
  event: string;
  run_id: string;
  tags?: string[];
  data: { chunk?: unknown };
}

export interface CompiledGraph {
  interruptBefore?: '*' | string[];
  interruptAfter?: '*' | string[];
  /** Of the graph's author, for protocol v2. */
  streamTransformers?: TransformerFactory[];
  stream(input: unknown, options: LangGraphConfig): Promise<AsyncIterable<unknown>>;
  streamEvents(input: unknown, options: LangGraphConfig): AsyncIterable<StreamEvent>;
  getState(config: LangGraphConfig, options?: { subgraphs?: boolean }): Promise<StateSnapshot>;
  getStateHistory(
    config: LangGraphConfig,
    options?: Record<string, unknown>,
  ): AsyncIterable<StateSnapshot>;
  updateState(config: LangGraphConfig, values: unknown, asNode?: string): Promise<LangGraphConfig>;
  bulkUpdateState(
    config: LangGraphConfig,
    supersteps: { updates: { values: unknown; asNode: string }[] }[],
  ): Promise<LangGraphConfig>;
  getGraphAsync(config: LangGraphConfig): Promise<{ toJSON(): Record<string, unknown> }>;
  getSubgraphsAsync(
    namespace?: string,
    recurse?: boolean,
  ): AsyncIterable<[namespace: string, graph: CompiledGraph]>;
}

type Shape = Record<string, unknown>;

const isShape = (value: unknown): value is Shape => typeof value === 'object' && value !== null;

function isPregel(value: unknown): value is CompiledGraph {
  return isShape(value) && value['lg_is_pregel'] === true && typeof value['stream'] === 'function';
}

/** A compiled graph, or the agent object of `createAgent`, which has it under `graph`. */
export function compiledGraphOf(value: unknown): CompiledGraph | undefined {
  if (!isShape(value)) return undefined;
  if (isPregel(value['graph'])) return value['graph'];
  return isPregel(value) ? value : undefined;
}

/**
 * The same graph with another checkpointer, for one call: the exported object is shared by all runs of the
 * process and is never written to.
 */
export function withSaver<T extends CompiledGraph>(graph: T, saver: object, store: object): T {
  const copy = Object.create(Object.getPrototypeOf(graph) as object) as T;
  return Object.assign(copy, graph, { checkpointer: saver, store });
}
