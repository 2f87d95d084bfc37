/**
 * What a run executes. One port for compiled LangGraph.js graphs (langgraph/) and for our own
 * Pregel applications, so that the worker and the API know neither.
 *
 * All values that cross this port towards the server are plain JSON (messages already flattened,
 * HTTP.md section 2), because they go straight to Postgres and to SSE.
 */
import type { EventsBefore } from '../checkpoints/events-before.ts';
import type { CheckpointBatch } from '../checkpoints/unflushed.ts';
import type { CheckpointWriter } from '../checkpoints/writer.ts';
import type { Protocol } from '../protocol/lifecycle.ts';

/** Stream modes as the LangGraph API names them. */
export const STREAM_MODES = [
  'values',
  'messages',
  'messages-tuple',
  'updates',
  'events',
  'tasks',
  'checkpoints',
  'debug',
  'custom',
  'tools',
] as const;
export type StreamMode = (typeof STREAM_MODES)[number];

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = Record<string, unknown>;

/** `command` of a run: takes precedence over `input`. */
export interface RunCommand {
  resume?: unknown;
  update?: unknown;
  goto?: unknown;
}

/** RunnableConfig as stored: everything below is JSON. `configurable` carries thread_id, run_id, graph_id, assistant_id. */
export interface GraphConfig {
  configurable: JsonObject;
  metadata: JsonObject;
  tags?: string[];
  recursion_limit?: number;
}

/** Where an execution writes its events. */
export interface EventSink {
  /**
   * Adds one event. Never waits: the log's writer batches.
   * @param type SSE event name, e.g. `values`, `updates|sub:1`
   * @throws {EventInvalidError} when `data` cannot be serialised (names the key) or is too large
   */
  emit(type: string, data: unknown): void;
  /** `undefined` while there is room; otherwise settles when there is. Await it between steps. */
  drained(): Promise<void> | undefined;
}

/** One attempt at one run. */
export interface Execution {
  readonly runId: string;
  readonly threadId: string;
  /** 1 for the first claim; higher after a crash or hand-over. */
  readonly attempt: number;
  /** null: go on from the thread's current state. */
  readonly input: unknown;
  readonly command: RunCommand | null;
  readonly config: GraphConfig;
  readonly context: JsonObject;
  readonly streamModes: readonly StreamMode[];
  readonly streamSubgraphs: boolean;
  /** `v2`: events go out as protocol v2 (protocol/event.ts) instead of as stream modes. */
  readonly protocol?: Protocol;
  readonly interruptBefore: '*' | readonly string[] | null;
  readonly interruptAfter: '*' | readonly string[] | null;
  readonly durability: 'sync' | 'async' | 'exit' | null;
  /** Aborted by cancel, timeout, shutdown or a lost lease. */
  readonly signal: AbortSignal;
  /** This term's write access to checkpoints; refuses once a newer term owns the thread. */
  readonly writer: CheckpointWriter;
  readonly sink: EventSink;
  /** What went into the sink, for the checkpoints that come after it. */
  readonly eventsBefore?: EventsBefore;
  /** The thread is known to have no checkpoints: none is looked for. */
  readonly freshThread?: boolean;
  /**
   * The caller writes the result's `checkpoints`, together with the end of the run. Otherwise all checkpoints are
   * in Postgres when the execution settles.
   */
  readonly leavesLastCheckpoints?: boolean;
  /** A superstep is over: its checkpoint was put. @param ns of a subgraph; '' for the graph itself */
  onStep?(step: number, ns: string): void;
}

export type { CheckpointWriter };

/** What the thread's row shows after a run. */
export interface StateSummary {
  values: unknown;
  /** Nodes to run next; non-empty: the graph stopped at an interrupt. */
  next: string[];
  /** `{task_id: [{id, value}]}` */
  interrupts: Record<string, unknown[]>;
}

export interface ExecutionResult {
  state: StateSummary;
  /** What `wait` answers: the last values event, or `state.values` when the adapter has no better. */
  output: unknown;
  /** Of an execution that leaves its last checkpoints: those that are not in Postgres yet. */
  checkpoints?: CheckpointBatch;
}

export interface ThreadStateTask {
  id: string;
  name: string;
  path: unknown;
  error: unknown;
  interrupts: unknown[];
  checkpoint: unknown;
  state: ThreadState | null;
  result: unknown;
}

/** HTTP.md, 3.2: ThreadState. */
export interface ThreadState {
  values: unknown;
  next: string[];
  tasks: ThreadStateTask[];
  metadata: JsonObject;
  created_at: string | null;
  checkpoint: JsonObject | null;
  parent_checkpoint: JsonObject | null;
}

/** Which state to read: the latest of the thread, one checkpoint, or one of a subgraph's namespace. */
export interface StateQuery {
  threadId: string;
  config: GraphConfig;
  checkpointId?: string;
  checkpointNs?: string;
  checkpointMap?: unknown;
  subgraphs: boolean;
}

export interface StateUpdate {
  threadId: string;
  config: GraphConfig;
  checkpointId?: string;
  checkpointNs?: string;
  values: unknown;
  asNode?: string;
}

/** Several updates as if nodes had made them: one checkpoint for each inner list. */
export interface Supersteps {
  threadId: string;
  config: GraphConfig;
  steps: readonly (readonly { values: unknown; command: RunCommand | null; asNode: string }[])[];
}

export interface HistoryQuery extends StateQuery {
  limit: number;
  before?: JsonObject;
  metadata?: JsonObject;
}

export interface Graph {
  readonly graphId: string;
  /** Runs to the end or the next interrupt. Throws what the graph threw; AbortError when `signal` was aborted. */
  execute(execution: Execution): Promise<ExecutionResult>;
  getState(query: StateQuery): Promise<ThreadState>;
  getHistory(query: HistoryQuery): Promise<ThreadState[]>;
  /** @returns the checkpoint config of the new state */
  updateState(update: StateUpdate): Promise<JsonObject>;
  /** Only of graphs that can. */
  applySupersteps?(supersteps: Supersteps): Promise<void>;
  /** `{nodes, edges}` as drawn by clients; xray opens subgraphs to that depth. */
  draw(config: GraphConfig, xray: boolean | number): Promise<JsonObject>;
  schemas(config: GraphConfig): Promise<JsonObject>;
  subgraphs(
    config: GraphConfig,
    namespace: string | undefined,
    recurse: boolean,
  ): Promise<JsonObject>;
}

/** The graphs of a deployment. Loading one is lazy: servers that only stream never import it. */
export interface GraphRegistry {
  /** Ids from langgraph.json and from code, in order. */
  ids(): readonly string[];
  has(graphId: string): boolean;
  /** @throws {GraphNotFoundError | GraphInvalidError} */
  get(graphId: string): Promise<Graph>;
}
