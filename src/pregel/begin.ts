/**
 * How a run starts: from the state of its thread (or none), with input, a command, an answer, or
 * from an older checkpoint. Each case, in the order they are decided:
 *
 *   go on      state, and no input, an answer, or the same run's earlier attempt
 *   time travel  the same from a checkpoint that is not the latest: a fork is stored first
 *   command    update and goto without an answer: like input, but pending nodes stay pending
 *   input      pending nodes are dropped, the input starts the graph anew
 */
import { AppError } from '../errors.ts';
import { GraphState } from './algorithm.ts';
import type {
  CheckpointConfig,
  CheckpointPendingWrite,
  CheckpointTuple,
  PendingWrite,
} from './checkpoint.ts';
import { derivedId } from './checkpoint-id.ts';
import { GraphInterrupt, isCommand } from './control.ts';
import { Emitter } from './emitter.ts';
import { Loop, stopsAt, type RunResult } from './loop.ts';
import { Persister } from './persister.ts';
import { COMMAND, EFFECT, RESUMED } from './reserved.ts';
import { Recorder } from './recorder.ts';
import { Resume, type TakenAnswer } from './resume.ts';
import { RunHost } from './run-host.ts';
import type { GraphSpec, RunOptions } from './run-options.ts';
import { fromCheckpoint } from './snapshot.ts';
import { openCheckpoint } from './state-view.ts';
import { CheckpointerMissingError } from './task-context.ts';

/** There is nothing to do: no input, and no unfinished state to go on from. */
export class EmptyInputError extends AppError {
  readonly code = 'input_empty' as const;
}

/** Command writes of a resumed run, kept until its step is over. */
interface KeptCommand {
  readonly runId: string | undefined;
  readonly writes: PendingWrite[];
}

/** Runs a graph. @throws what an actor threw, or one of the errors of the runtime */
export async function runGraph(spec: GraphSpec, options: RunOptions): Promise<RunResult> {
  const loaded = options.checkpointer === undefined ? undefined : await load(options);
  const state =
    loaded === undefined
      ? GraphState.empty(spec.topology, Math.random() / 2)
      : fromCheckpoint(spec.topology, loaded.tuple.checkpoint, Math.random() / 2);
  const persister =
    options.checkpointer === undefined
      ? undefined
      : new Persister(
          options.checkpointer,
          options.durability,
          options.threadId!,
          options.ns,
          options.config.configurable,
        );
  persister?.start(loaded?.tuple.checkpoint.id);
  const resume = options.parent?.resume ?? new Resume(options.runId, noteTaken(persister));
  const emitter = new Emitter(options.sink, options.ns, options.clock);
  const host = new RunHost(spec, options, state, emitter, persister, resume);
  host.step = (loaded?.tuple.metadata?.step ?? -2) + 1;
  host.checkpointId = loaded?.tuple.checkpoint.id;
  const recorder = new Recorder(host);
  const { metadata, parentConfig } = loaded?.tuple ?? {};
  if (metadata !== undefined) recorder.loaded(metadata, parentConfig);
  // A fork and new input begin a step of their own: what was kept for the old one is not theirs.
  const loop = new Loop(host, recorder, () =>
    loaded?.tuple.checkpoint.id === host.checkpointId ? (loaded?.pending ?? []) : [],
  );
  return loop.run(() => begin(host, recorder, loaded));
}

interface Loaded {
  readonly tuple: CheckpointTuple;
  readonly pending: readonly CheckpointPendingWrite[];
  readonly timeTravel: boolean;
}

async function load(options: RunOptions): Promise<Loaded | undefined> {
  const { checkpointer, threadId, ns, checkpointId } = options;
  if (checkpointer === undefined) return undefined;
  if (threadId === undefined) {
    throw new CheckpointerMissingError(
      'the graph keeps state, so a run needs configurable.thread_id',
    );
  }
  const config: CheckpointConfig = {
    configurable: { ...options.config.configurable, thread_id: threadId, checkpoint_ns: ns },
  };
  delete config.configurable?.['checkpoint_id'];
  const latest = await checkpointer.getTuple(config);
  // An earlier attempt at this run has left the checkpoint it was to start from.
  const own = options.runId !== undefined && latest?.metadata?.['run_id'] === options.runId;
  if (checkpointId === undefined || own || latest?.checkpoint.id === checkpointId) {
    return latest && { tuple: latest, pending: latest.pendingWrites ?? [], timeTravel: false };
  }
  const tuple = await checkpointer.getTuple({
    configurable: { ...config.configurable, checkpoint_id: checkpointId },
  });
  if (tuple === undefined) return undefined;
  // What became of this checkpoint's tasks belongs to the other branch; effects happened anyway.
  const pending = (tuple.pendingWrites ?? []).filter(([, channel]) => channel === EFFECT);
  return { tuple, pending, timeTravel: true };
}

async function begin(host: RunHost, recorder: Recorder, loaded: Loaded | undefined): Promise<void> {
  const { options, spec, state, persister } = host;
  const { input } = options;
  const command = isCommand(input) ? input : undefined;
  const answer = command?.resume ?? undefined;
  const writes = command === undefined ? [] : spec.commandWrites(command);
  const sameRun =
    options.runId !== undefined && loaded?.tuple.metadata?.['run_id'] === options.runId;
  const hasState = loaded !== undefined && state.version > 0;
  const goesOn =
    hasState &&
    (options.parent !== undefined ||
      input === null ||
      input === undefined ||
      answer !== undefined ||
      (sameRun && !loaded.timeTravel));

  if (answer !== undefined && persister === undefined) {
    throw new CheckpointerMissingError('a graph without checkpointer cannot be resumed');
  }
  if (command !== undefined && answer === undefined && writes.length === 0) {
    throw new EmptyInputError('the command has no update, no goto and no answer');
  }
  if (goesOn) {
    await goOn(host, recorder, loaded, { sameRun, answer, writes });
    return;
  }
  if (input === null || input === undefined) {
    throw new EmptyInputError(`"${spec.name}" got no input and has no state to go on from`);
  }
  if (command !== undefined) {
    if (answer !== undefined) throw new EmptyInputError('there is nothing to resume');
    state.update([], writes);
    // Not only what the command woke: what was pending is still to run.
    state.updated = undefined;
    state.noteInterrupt();
    await recorder.checkpoint('input');
    recorder.showCurrent();
    return;
  }
  const inputWrites = spec.inputWrites(input);
  if (inputWrites.length === 0) {
    throw new EmptyInputError(`the input of "${spec.name}" names none of its input channels`);
  }
  state.update(hasState ? state.plan() : [], inputWrites);
  await recorder.checkpoint('input');
}

async function goOn(
  host: RunHost,
  recorder: Recorder,
  loaded: Loaded,
  start: { sameRun: boolean; answer: unknown; writes: PendingWrite[] },
): Promise<void> {
  const { options, state, spec, persister } = host;
  const { pending, tuple } = loaded;
  const { sameRun, answer } = start;
  // A checkpoint of this very run: its input, update or answer was used by an earlier attempt.
  const used = sameRun;
  host.load(pending);
  for (const [, channel, value] of pending) {
    const kept = channel === COMMAND ? (value as KeptCommand) : undefined;
    if (kept !== undefined && (used || kept.runId === undefined || kept.runId !== options.runId)) {
      state.update([], kept.writes);
    }
  }
  const writes = used ? [] : start.writes;
  if (writes.length > 0) {
    state.update([], writes);
    const kept: KeptCommand = { runId: options.runId, writes };
    const id = derivedId(
      tuple.checkpoint.id,
      COMMAND,
      options.runId ?? String(options.clock.now()),
    );
    persister?.writes(id, [[COMMAND, kept]]);
  }
  if (answer !== undefined && !used) {
    const taken = pending.flatMap(([, channel, value]) =>
      channel === RESUMED ? [value as TakenAnswer] : [],
    );
    host.resume.offer(answer, taken);
  }
  state.updated = undefined;
  // Going on is the answer to a breakpoint. The attempt that died at one has not been answered.
  if (!sameRun) state.noteInterrupt();
  else if (tuple.metadata?.source === 'loop') await stopAfterLast(host, tuple);
  if (loaded.timeTravel && answer === undefined) await recorder.checkpoint('fork');
  const idle = options.idleIsError && !sameRun && state.plan().length === 0;
  if (idle) {
    throw new EmptyInputError(`"${spec.name}" got no input and has nothing left to do`);
  }
  recorder.showCurrent();
}

/** The dead attempt stored a step after which the graph stops, and could not say so. */
async function stopAfterLast(host: RunHost, tuple: CheckpointTuple): Promise<void> {
  const { options, spec, state } = host;
  const after = options.interruptAfter ?? spec.interruptAfter;
  const { checkpointer } = options;
  if (after.length === 0 || tuple.parentConfig === undefined || checkpointer === undefined) return;
  const parent = await checkpointer.getTuple(tuple.parentConfig);
  if (parent === undefined) return;
  const { tasks } = openCheckpoint(spec, parent, options.ns);
  if (stopsAt(after, tasks, state)) throw new GraphInterrupt([]);
}

const noteTaken =
  (persister: Persister | undefined) =>
  (taken: TakenAnswer): void => {
    const id = derivedId(taken.task, RESUMED, taken.runId, taken.at);
    persister?.writes(id, [[RESUMED, taken]]);
  };
