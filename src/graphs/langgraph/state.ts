/** LangGraph.js's snapshots and configs in the form of the API (HTTP.md, 3.2). */
import type { JsonObject, StateSummary, ThreadState, ThreadStateTask } from '../port.ts';
import { toPlain } from '../serialise.ts';
import type { LangGraphConfig, SnapshotTask, StateSnapshot } from './compiled.ts';

/** @returns plain JSON */
export function threadStateOf(snapshot: StateSnapshot): ThreadState {
  return toPlain(threadState(snapshot)) as ThreadState;
}

function threadState(snapshot: StateSnapshot): ThreadState {
  return {
    values: snapshot.values,
    next: snapshot.next,
    tasks: snapshot.tasks.map(taskOf),
    metadata: snapshot.metadata ?? {},
    created_at: snapshot.createdAt ?? null,
    checkpoint: checkpointOf(snapshot.config),
    parent_checkpoint: checkpointOf(snapshot.parentConfig),
  };
}

function taskOf(task: SnapshotTask): ThreadStateTask {
  const { state } = task;
  return {
    id: task.id,
    name: task.name,
    path: task.path,
    error: task.error === undefined ? null : messageOf(task.error),
    interrupts: task.interrupts,
    // Without `subgraphs` a task carries where its subgraph's state is, with it the state itself.
    checkpoint: isSnapshot(state) ? null : (shownKeys(state?.configurable) ?? null),
    state: isSnapshot(state) ? threadState(state) : null,
    result: task.result ?? null,
  };
}

const isSnapshot = (state: StateSnapshot | LangGraphConfig | undefined): state is StateSnapshot =>
  state !== undefined && 'values' in state && 'next' in state;

function messageOf(error: unknown): unknown {
  if (typeof error !== 'object' || error === null) return error;
  return 'message' in error ? error.message : JSON.stringify(error);
}

/** @returns {thread_id, checkpoint_id, checkpoint_ns, checkpoint_map}, or null when the config names no checkpoint */
export function checkpointOf(config: LangGraphConfig | undefined): JsonObject | null {
  const { thread_id, checkpoint_id, checkpoint_ns, checkpoint_map } = config?.configurable ?? {};
  if (typeof thread_id !== 'string' || typeof checkpoint_id !== 'string') return null;
  return {
    thread_id,
    checkpoint_id,
    checkpoint_ns: checkpoint_ns ?? '',
    checkpoint_map: checkpoint_map ?? null,
  };
}

/** Without the keys that LangGraph.js keeps for itself, which hold functions and savers. */
export function publicKeys(configurable: JsonObject | undefined): JsonObject | undefined {
  if (configurable === undefined) return undefined;
  return Object.fromEntries(Object.entries(configurable).filter(([key]) => !key.startsWith('__')));
}

/** Of the user only who it is: the rest may hold credentials, and whoever reads the thread sees this. */
const UNSHOWN: readonly string[] = ['langgraph_auth_user', 'langgraph_auth_permissions'];

/** What of a configuration leaves for clients. */
export function shownKeys(configurable: JsonObject | undefined): JsonObject | undefined {
  const keys = publicKeys(configurable);
  return keys && Object.fromEntries(Object.entries(keys).filter(([key]) => !UNSHOWN.includes(key)));
}

/** What the thread's row shows. */
export function summaryOf(snapshot: StateSnapshot): StateSummary {
  return toPlain({
    values: snapshot.values,
    next: snapshot.next,
    interrupts: Object.fromEntries(snapshot.tasks.map((task) => [task.id, task.interrupts])),
  }) as StateSummary;
}
