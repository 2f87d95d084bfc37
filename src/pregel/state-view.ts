/** A thread's state as callers see it: what a checkpoint holds and which tasks come next. */
import type { GraphState } from './algorithm.ts';
import { InvalidUpdateError } from './channels/channel.ts';
import type {
  Checkpointer,
  CheckpointConfig,
  CheckpointListOptions,
  CheckpointMetadata,
  CheckpointPendingWrite,
  CheckpointTuple,
  PendingWrite,
} from './checkpoint.ts';
import { taskView, type TaskView } from './events.ts';
import { COMMAND, ERROR, isResult } from './reserved.ts';
import { interruptsOf } from './run-host.ts';
import type { GraphSpec } from './run-options.ts';
import { fromCheckpoint, taskIdOf } from './snapshot.ts';
import type { Task } from './task.ts';

export interface StateSnapshot {
  readonly values: unknown;
  /** Actors that run next. Empty: the graph has ended. */
  readonly next: readonly string[];
  readonly tasks: readonly TaskView[];
  readonly metadata: CheckpointMetadata | undefined;
  readonly config: CheckpointConfig;
  readonly createdAt: string | undefined;
  readonly parentConfig: CheckpointConfig | undefined;
}

/** A graph inside an actor, as the state of the graph around it needs it. */
export interface StateReader {
  snapshot(
    checkpointer: Checkpointer,
    config: CheckpointConfig,
    subgraphs: boolean,
  ): Promise<StateSnapshot>;
}

/** The state of a checkpoint, with the updates of commands that resumed it, and its next tasks. */
export function openCheckpoint(
  spec: GraphSpec,
  tuple: CheckpointTuple,
  ns: string,
): { state: GraphState; tasks: Task[]; pending: readonly CheckpointPendingWrite[] } {
  const state = fromCheckpoint(spec.topology, tuple.checkpoint, Math.random() / 2);
  const pending = tuple.pendingWrites ?? [];
  for (const [, channel, value] of pending) {
    if (channel === COMMAND) state.update([], (value as { writes: PendingWrite[] }).writes);
  }
  state.updated = undefined;
  const tasks = state.plan();
  const step = (tuple.metadata?.step ?? -2) + 1;
  for (const task of tasks) {
    const id = taskIdOf(spec.topology, task, tuple.checkpoint.id, ns, step);
    task.id = id;
    task.writes = pending
      .filter(([owner, channel]) => owner === id && isResult(channel))
      .map(([, channel, value]) => [channel, value]);
    if (task.writes.length > 0) {
      // It was interrupted or failed once, was answered or retried, and is done.
      task.status = 'done';
      continue;
    }
    task.interrupts = interruptsOf(pending, id);
    task.error = pending.find(([owner, channel]) => owner === id && channel === ERROR)?.[2];
    if (task.interrupts.length > 0) task.status = 'interrupted';
  }
  return { state, tasks, pending };
}

/** @param latest whether writes of finished tasks are shown in the values */
export async function viewState(
  spec: GraphSpec,
  tuple: CheckpointTuple,
  options: { ns: string; latest: boolean; subgraphs: Checkpointer | undefined },
): Promise<StateSnapshot> {
  const { ns, latest, subgraphs } = options;
  const { state, tasks } = openCheckpoint(spec, tuple, ns);
  const threadId = tuple.config.configurable?.['thread_id'];
  const views: TaskView[] = [];
  for (const task of tasks) {
    let nested: unknown;
    const { subgraph } = task.plan.actor;
    if (subgraph !== undefined) {
      const own = `${task.name}:${task.id ?? ''}`;
      const config = {
        configurable: { thread_id: threadId, checkpoint_ns: ns === '' ? own : `${ns}|${own}` },
      };
      nested =
        subgraphs === undefined
          ? config
          : await (subgraph as StateReader).snapshot(subgraphs, config, true);
    }
    views.push(taskView(task, task.id ?? '', spec.streamed, nested));
  }
  const done = tasks.filter((task) => task.status === 'done');
  let values = state.select(spec.streamed);
  if (latest && done.length > 0) {
    try {
      state.update(done);
      values = state.select(spec.streamed);
    } catch (error) {
      // Updates that no channel can merge fail the run; the state can be looked at all the same.
      if (!(error instanceof InvalidUpdateError)) throw error;
    }
  }
  return {
    values: values ?? {},
    next: tasks.filter((task) => !latest || task.status !== 'done').map((task) => task.name),
    tasks: views,
    metadata: tuple.metadata,
    config: tuple.config,
    createdAt: tuple.checkpoint.ts,
    parentConfig: tuple.parentConfig,
  };
}

/** The state of a thread that has none. */
export const noState = (config: CheckpointConfig): StateSnapshot => ({
  values: {},
  next: [],
  tasks: [],
  metadata: undefined,
  config,
  createdAt: undefined,
  parentConfig: undefined,
});

/** Newest first. */
export async function* viewHistory(
  spec: GraphSpec,
  checkpointer: Checkpointer,
  config: CheckpointConfig,
  ns: string,
  options: CheckpointListOptions,
): AsyncGenerator<StateSnapshot> {
  for await (const tuple of checkpointer.list(config, options)) {
    yield viewState(spec, tuple, { ns, latest: false, subgraphs: undefined });
  }
}
