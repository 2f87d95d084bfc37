/**
 * Changing a thread's state from outside: as if an actor had returned the values. Its edges decide
 * what comes next, as after a step.
 */
import { GraphState } from './algorithm.ts';
import { InvalidUpdateError } from './channels/channel.ts';
import {
  type Checkpointer,
  type CheckpointConfig,
  type CheckpointMetadata,
  type CheckpointTuple,
} from './checkpoint.ts';
import { newCheckpointId } from './checkpoint-id.ts';
import type { Clock } from './clock.ts';
import { Emitter } from './emitter.ts';
import { END, INPUT } from './reserved.ts';
import { Resume } from './resume.ts';
import { RunHost } from './run-host.ts';
import type { GraphSpec, RunOptions } from './run-options.ts';
import { toCheckpoint } from './snapshot.ts';
import { openCheckpoint } from './state-view.ts';
import { Task } from './task.ts';
import { TaskContext } from './task-context.ts';
import type { ActorPlan } from './topology.ts';

export interface UpdateTarget {
  readonly checkpointer: Checkpointer;
  readonly config: CheckpointConfig;
  readonly threadId: string;
  readonly ns: string;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly clock: Clock;
}

/**
 * @param values an actor's result; null without `asNode` copies the checkpoint, null as END drops
 *   what would run next
 * @param asNode an actor, `__input__` for a run's input; undefined: the actor that ran last
 * @returns the config of the new checkpoint
 * @throws {InvalidUpdateError} when no actor is given and none is the last
 */
export async function updateState(
  spec: GraphSpec,
  target: UpdateTarget,
  values: unknown,
  asNode: string | undefined,
): Promise<CheckpointConfig> {
  const tuple = await target.checkpointer.getTuple(target.config);
  const opened = tuple && openCheckpoint(spec, tuple, target.ns);
  const state = opened?.state ?? GraphState.empty(spec.topology, Math.random() / 2);
  const before = [...state.versions];
  const step = tuple?.metadata?.step ?? -2;
  const empty = values === null || values === undefined;

  if (empty && asNode === undefined)
    return put(spec, target, tuple, state, before, 'update', step + 1);
  if (asNode === INPUT) {
    const writes = spec.inputWrites(values);
    if (writes.length === 0) throw new InvalidUpdateError('the input names no input channel');
    state.update(opened?.tasks ?? [], writes);
    return put(spec, target, tuple, state, before, 'input', step + 1);
  }
  if (empty && asNode === END) {
    if (opened !== undefined && opened.tasks.length > 0) state.update(opened.tasks);
    return put(spec, target, tuple, state, before, 'update', step + 1);
  }

  const plan = actorOf(spec, asNode ?? lastActor(spec, state, tuple));
  const done = opened?.tasks.filter((task) => task.status === 'done') ?? [];
  if (done.length > 0 && target.config.configurable?.['checkpoint_id'] === undefined) {
    state.update(done);
  }
  // A packet: it counts as a step and marks no trigger as seen.
  const task = new Task('push', plan, values, [], 0);
  const context = new TaskContext(hostFor(spec, target, state), task, 1, undefined);
  await plan.actor.write(values, context, context);
  task.writes = context.writes;
  state.update([task]);
  return put(spec, target, tuple, state, before, 'update', Math.max(step, -1) + 1);
}

function actorOf(spec: GraphSpec, name: string): ActorPlan {
  const plan = spec.topology.actorByName.get(name);
  if (plan === undefined) throw new InvalidUpdateError(`"${name}" is no actor of "${spec.name}"`);
  return plan;
}

/** The actor that saw the newest version, when it is the only one. */
function lastActor(spec: GraphSpec, state: GraphState, tuple: CheckpointTuple | undefined): string {
  const { actors, actorByName } = spec.topology;
  if (actors.length === 1) return actors[0]!.name;
  const newest = actors.map((plan) => Math.max(0, ...state.seen[plan.index]!));
  const highest = Math.max(0, ...newest);
  if (tuple === undefined || highest === 0) {
    if (typeof spec.input === 'string' && actorByName.has(spec.input)) return spec.input;
  } else {
    const last = actors.filter((plan) => newest[plan.index] === highest);
    if (last.length === 1) return last[0]!.name;
  }
  throw new InvalidUpdateError('it is not clear which actor the update is from: name it (as_node)');
}

/** What an actor's writers may ask for; there is no run around them. */
function hostFor(spec: GraphSpec, target: UpdateTarget, state: GraphState): RunHost {
  const options: RunOptions = {
    input: null,
    checkpointer: target.checkpointer,
    durability: 'sync',
    threadId: target.threadId,
    ns: target.ns,
    checkpointId: undefined,
    runId: undefined,
    config: {
      configurable: target.config.configurable ?? {},
      metadata: target.metadata,
      tags: [],
    },
    context: undefined,
    clock: target.clock,
    signal: undefined,
    stepsMax: 1,
    maxConcurrency: 1,
    interruptBefore: undefined,
    interruptAfter: undefined,
    sink: undefined,
    parent: undefined,
    idleIsError: false,
  };
  const emitter = new Emitter(undefined, target.ns, target.clock);
  const resume = new Resume(undefined, () => undefined);
  return new RunHost(spec, options, state, emitter, undefined, resume);
}

async function put(
  spec: GraphSpec,
  target: UpdateTarget,
  tuple: CheckpointTuple | undefined,
  state: GraphState,
  before: readonly number[],
  source: CheckpointMetadata['source'],
  step: number,
): Promise<CheckpointConfig> {
  const { checkpointer, clock, config, threadId, ns } = target;
  const parent = tuple?.checkpoint.id;
  const id = newCheckpointId(clock, parent);
  const versions: Record<string, number> = {};
  state.versions.forEach((version, index) => {
    if (version !== before[index]) {
      versions[spec.topology.channelNames[index]!] = version;
    }
  });
  await checkpointer.put(
    {
      configurable: {
        ...config.configurable,
        thread_id: threadId,
        checkpoint_ns: ns,
        checkpoint_id: parent,
      },
    },
    toCheckpoint(state, id, new Date(clock.now()).toISOString()),
    { ...target.metadata, source, step, parents: tuple?.metadata?.parents ?? {} },
    versions,
  );
  return { configurable: { thread_id: threadId, checkpoint_ns: ns, checkpoint_id: id } };
}
