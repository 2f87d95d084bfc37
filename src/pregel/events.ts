/** The payloads of stream events, in the shapes that LangGraph's clients read. */
import type { CheckpointConfig, CheckpointMetadata, PendingWrite } from './checkpoint.ts';
import { ERROR, INTERRUPT, isNote, RESUME } from './reserved.ts';
import type { Task } from './task.ts';

/** Channels to show: all of a list as an object, or the value of one. */
export type Selection = string | readonly string[];

const selects = (selection: Selection, channel: string): boolean =>
  typeof selection === 'string' ? selection === channel : selection.includes(channel);

/** `{actor: {channel: value}}`; a list when one channel was written more than once. */
export function updatesEvent(task: Task, outputs: Selection): Record<string, unknown> {
  const writes = task.writes.filter(([channel]) => selects(outputs, channel));
  let update: unknown;
  if (typeof outputs === 'string') {
    update = writes.length === 1 ? writes[0]?.[1] : writes.map(([, value]) => value);
    if (writes.length === 0) return {};
  } else if (new Set(writes.map(([channel]) => channel)).size < writes.length) {
    update = writes.map(([channel, value]) => ({ [channel]: value }));
  } else update = Object.fromEntries(writes);
  return {
    [task.name]: update,
    ...(task.cached ? { __metadata__: { cached: true } } : {}),
  };
}

export function taskEvent(
  task: Task,
  id: string,
  triggers: readonly string[],
): Record<string, unknown> {
  const { metadata } = task.plan.actor;
  return {
    id,
    name: task.name,
    input: task.input,
    triggers,
    interrupts: [],
    ...(metadata === undefined ? {} : { metadata }),
  };
}

/** A channel written several times shows as `{$writes: [...]}`. */
export function writesAsResult(writes: readonly PendingWrite[]): Record<string, unknown> {
  const grouped = new Map<string, unknown[]>();
  for (const [channel, value] of writes) {
    const values = grouped.get(channel);
    if (values === undefined) grouped.set(channel, [value]);
    else values.push(value);
  }
  return Object.fromEntries(
    [...grouped].map(([channel, values]) => [
      channel,
      values.length === 1 ? values[0] : { $writes: values },
    ]),
  );
}

export function taskResultEvent(
  task: Task,
  id: string,
  streamed: Selection,
): Record<string, unknown> {
  return {
    id,
    name: task.name,
    result: writesAsResult(
      task.writes.filter(([channel]) => !isNote(channel) && selects(streamed, channel)),
    ),
    interrupts: task.interrupts,
    ...(task.status === 'failed' ? { error: errorValue(task.error) } : {}),
  };
}

/** A task as state and checkpoints show it. */
export interface TaskView {
  readonly id: string;
  readonly name: string;
  readonly path: readonly unknown[];
  readonly interrupts: readonly unknown[];
  readonly error?: unknown;
  readonly result?: unknown;
  /** Of the graph the task runs: its state, or where to find it. */
  readonly state?: unknown;
}

export const taskPath = (task: Task): readonly unknown[] =>
  task.kind === 'push' ? ['__pregel_push', task.index] : ['__pregel_pull', task.name];

export function taskView(task: Task, id: string, streamed: Selection, state?: unknown): TaskView {
  const writes = task.writes.filter(([channel]) => selects(streamed, channel));
  const one = typeof streamed === 'string' ? writes[0]?.[1] : writesAsResult(writes);
  return {
    id,
    name: task.name,
    path: taskPath(task),
    interrupts: task.interrupts,
    ...(task.error === undefined ? {} : { error: task.error }),
    ...(state === undefined ? {} : { state }),
    ...(writes.length === 0 ? {} : { result: one }),
  };
}

export function checkpointEvent(
  config: CheckpointConfig,
  values: unknown,
  metadata: CheckpointMetadata,
  tasks: readonly TaskView[],
  parentConfig: CheckpointConfig | undefined,
): Record<string, unknown> {
  return {
    config,
    values,
    metadata,
    next: tasks.map((task) => task.name),
    tasks,
    parentConfig,
  };
}

/** What a checkpoint keeps of an error. */
export function errorValue(error: unknown): { name: string; message: string } {
  return error instanceof Error
    ? { name: error.name, message: error.message }
    : { name: 'Error', message: String(error) };
}

/** What is kept beside the checkpoint when a task did not finish. */
export function openWrites(task: Task, answers: readonly unknown[]): PendingWrite[] {
  const writes: PendingWrite[] = [];
  const { interrupts } = task;
  if (task.status === 'failed') writes.push([ERROR, errorValue(task.error)]);
  if (interrupts.length > 0) {
    writes.push([INTERRUPT, interrupts.length === 1 ? interrupts[0] : interrupts]);
  }
  if (answers.length > 0) writes.push([RESUME, [...answers]]);
  return writes;
}
