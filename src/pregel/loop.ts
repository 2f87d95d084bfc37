/**
 * One run of one graph: load, take the input, then plan, execute and update until nothing is
 * selected (seed 004). A subgraph is a loop of its own inside a task of this one.
 *
 *   load ─▶ begin ─▶ plan ─▶ execute ─▶ update ─▶ checkpoint ─┐
 *            │        ▲ └─ no tasks: done                     │
 *            │        └───────────────────────────────────────┘
 *            └─ input, command, resume or fork (begin.ts)
 *
 * Between two steps of synchronous actors nothing is awaited, except a turn of the event loop now
 * and then, so that timers and cancellation come through.
 */
import { AppError } from '../errors.ts';
import type { GraphState } from './algorithm.ts';
import { runAs } from './ambient.ts';
import { runAttempts } from './attempts.ts';
import { Context } from './channels/context.ts';
import { InvalidUpdateError } from './channels/channel.ts';
import type { CheckpointPendingWrite } from './checkpoint.ts';
import { Command, GraphInterrupt, ParentCommand, type Interrupt } from './control.ts';
import { isResult } from './reserved.ts';
import type { RunHost } from './run-host.ts';
import type { GraphSpec, RunOptions, StopAt } from './run-options.ts';
import type { Recorder } from './recorder.ts';
import { Step } from './step.ts';
import type { Task } from './task.ts';
import { TaskContext } from './task-context.ts';

/** The graph did not end within its step limit. */
export class GraphRecursionError extends AppError {
  readonly code = 'step_limit' as const;
}

/** Synchronous steps in a row before the event loop gets a turn. */
export const SYNC_STEPS_MAX = 256;

const isPromise = (value: unknown): value is Promise<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value;

/** How a run ended. */
export interface RunResult {
  /** What the output channels showed last; `__interrupt__` inside when it was interrupted. */
  readonly output: unknown;
  readonly interrupts: readonly Interrupt[] | undefined;
}

export class Loop {
  readonly #spec: GraphSpec;
  readonly #options: RunOptions;
  readonly #host: RunHost;
  readonly #recorder: Recorder;
  readonly #firstPending: () => readonly CheckpointPendingWrite[];
  #pending: readonly CheckpointPendingWrite[] = [];
  #step: Step | undefined;

  /** @param pending what earlier attempts left for the first step, asked after the beginning */
  constructor(host: RunHost, recorder: Recorder, pending: () => readonly CheckpointPendingWrite[]) {
    this.#host = host;
    this.#recorder = recorder;
    this.#spec = host.spec;
    this.#options = host.options;
    this.#firstPending = pending;
    host.stepSignal = () => this.#step!.signal;
  }

  /** Begins, and runs to the end, an interrupt, or an error. */
  async run(begin: () => Promise<void>): Promise<RunResult> {
    const { state } = this.#host;
    if (!this.#spec.topology.hasContexts) return this.#guarded(begin);
    const contexts = state.channels.filter((channel) => channel instanceof Context);
    const signal = this.#options.signal ?? new AbortController().signal;
    const acquired: Context<unknown>[] = [];
    try {
      for (const context of contexts) {
        await context.acquire(signal);
        acquired.push(context);
      }
      const result = await this.#guarded(begin);
      await releaseAll(acquired);
      return result;
    } catch (error) {
      // The run's own error is the one to be told. A second release does nothing.
      await releaseAll(acquired).catch(() => undefined);
      throw error;
    }
  }

  async #guarded(begin: () => Promise<void>): Promise<RunResult> {
    const { persister, emitter } = this.#host;
    const nested = this.#options.parent !== undefined;
    try {
      await begin();
      this.#pending = this.#firstPending();
      await this.#steps();
      // A nested graph's last state is only of use while its task is unfinished.
      if (!nested) persister?.release();
      await persister?.settle();
      return { output: this.#recorder.latest(), interrupts: undefined };
    } catch (error) {
      persister?.release();
      await persister?.settle();
      if (!(error instanceof GraphInterrupt) || nested) throw error;
      const { interrupts } = error;
      if (interrupts.length === 0) emitter.interrupts([]);
      // Only what this run showed: an output of the run before is no output of this one.
      const latest = this.#recorder.shown ? this.#recorder.latest() : undefined;
      const output =
        typeof latest === 'object' && latest !== null && !Array.isArray(latest)
          ? { ...latest, __interrupt__: interrupts }
          : { __interrupt__: interrupts };
      return { output, interrupts };
    }
  }

  async #steps(): Promise<void> {
    const host = this.#host;
    const { spec, options, state, emitter } = host;
    const before = options.interruptBefore ?? spec.interruptBefore;
    const after = options.interruptAfter ?? spec.interruptAfter;
    const stops = before.length > 0 || after.length > 0;
    let synchronous = 0;
    for (let taken = 0; ; taken += 1) {
      if (options.signal?.aborted === true) throw options.signal.reason;
      const tasks = state.plan();
      if (this.#pending.length > 0) this.#match(tasks);
      if (emitter.checkpoints) this.#recorder.showCheckpoint(tasks, this.#pending);
      if (tasks.length === 0) return;
      if (taken >= options.stepsMax) {
        throw new GraphRecursionError(
          `"${spec.name}" did not end within ${options.stepsMax} steps; next: ${tasks.map((task) => task.name).join(', ')}`,
        );
      }
      if (stops && stopsAt(before, tasks, state)) throw new GraphInterrupt([]);
      if (emitter.tasks) this.#recorder.showTasks(tasks);

      const step = new Step(tasks, {
        clock: options.clock,
        signal: options.signal,
        timeoutMs: spec.stepTimeoutMs,
        maxConcurrency: options.maxConcurrency,
        run: this.#start,
        settled: this.#settled,
      });
      this.#step = step;
      const waiting = step.execute();
      if (waiting !== undefined) {
        await waiting;
        synchronous = 0;
      }
      this.#check(step, tasks);

      state.update(tasks);
      this.#recorder.noteOutput();
      this.#pending = [];
      this.#unfinished = false;
      const storing = this.#recorder.checkpoint('loop');
      if (storing !== undefined) {
        await storing;
        synchronous = 0;
      }
      this.#recorder.showOutput();
      if (taken === 0 && options.parent === undefined) host.resume.close();
      if (stops && stopsAt(after, tasks, state)) throw new GraphInterrupt([]);
      const room = emitter.room();
      if (room !== undefined) await room;
      synchronous += 1;
      if (synchronous >= SYNC_STEPS_MAX) {
        synchronous = 0;
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  // The execution phase.

  readonly #start = (task: Task): undefined | Promise<void> => {
    const { actor } = task.plan;
    const retry = actor.retry ?? this.#spec.retry;
    if (retry === undefined && actor.timeoutMs === undefined)
      return this.#attempt(task, 1, undefined);
    return runAttempts(
      {
        name: task.name,
        clock: this.#options.clock,
        signal: this.#host.stepSignal(),
        retry,
        timeoutMs: actor.timeoutMs,
      },
      (attempt, signal) => this.#attempt(task, attempt, signal),
    );
  };

  #attempt(
    task: Task,
    attempt: number,
    signal: AbortSignal | undefined,
  ): undefined | Promise<void> {
    task.attempt = attempt;
    return runAs(new TaskContext(this.#host, task, attempt, signal), this.#body);
  }

  readonly #body = (context: TaskContext): undefined | Promise<void> => {
    const { task } = context;
    let result: unknown;
    try {
      result = task.plan.actor.run(task.input as never, context);
    } catch (error) {
      if (error instanceof ParentCommand) return this.#write(context, localCommand(error));
      throw error;
    }
    return isPromise(result) ? this.#finish(context, result) : this.#write(context, result);
  };

  async #finish(context: TaskContext, promise: Promise<unknown>): Promise<void> {
    let result: unknown;
    try {
      result = await promise;
    } catch (error) {
      if (error instanceof ParentCommand) result = localCommand(error);
      else if (error instanceof GraphInterrupt && this.#host.callsOf(context)) {
        throw await this.#host.gatherInterrupts(context, error);
      } else throw error;
    }
    await this.#write(context, result);
  }

  #write(context: TaskContext, result: unknown): undefined | Promise<void> {
    const { task } = context;
    const take = (): void => {
      if (context.attempt === task.attempt) task.writes = context.writes;
    };
    const writing = task.plan.actor.write(result, context, context);
    if (isPromise(writing)) return writing.then(take);
    take();
    return undefined;
  }

  readonly #settled = (task: Task, left: number): void => {
    const host = this.#host;
    const { emitter } = host;
    // The last task of a step needs no note when all went well: the checkpoint follows at once.
    const alone = left === 0 && task.status === 'done' && !this.#unfinished;
    if (task.status !== 'done') this.#unfinished = true;
    if (!alone) host.keep(task);
    if (task.plan.actor.hidden === true) return;
    if (task.status === 'done') {
      emitter.taskUpdates(task, this.#spec.output);
      if (emitter.messages) emitter.messagesOf(task, () => host.messageMetadata(task));
    } else if (task.interrupts.length > 0) emitter.interrupts(task.interrupts);
    if (emitter.tasks) {
      emitter.taskResult(task, host.taskId(task), this.#spec.streamed, host.step);
    }
  };
  #unfinished = false;

  /** Throws what ended the step early. */
  #check(step: Step, tasks: readonly Task[]): void {
    if (step.failure !== undefined) throw step.failure.error;
    if (step.command === undefined) {
      // A graph inside a task may stop at a breakpoint, which is an interrupt without a question.
      if (!tasks.some((task) => task.status === 'interrupted')) return;
      this.#showPartly(tasks);
      throw new GraphInterrupt(tasks.flatMap((task) => task.interrupts));
    }
    if (this.#options.parent !== undefined) throw step.command;
    throw new InvalidUpdateError('a Command for the parent graph, but there is no parent graph');
  }

  /** An interrupted step is no step, but its finished actors' writes are shown in the output. */
  #showPartly(tasks: readonly Task[]): void {
    if (this.#options.parent !== undefined) return;
    const done = tasks.filter((task) => task.status === 'done');
    if (done.length === 0) return;
    this.#host.state.update(done);
    this.#recorder.noteOutput();
    this.#recorder.showOutput();
  }

  // Resuming.

  /** Tasks that finished in an earlier attempt at this step keep their results. */
  #match(tasks: readonly Task[]): void {
    const host = this.#host;
    const pending = this.#pending;
    for (const task of tasks) {
      const id = host.taskId(task);
      const writes = pending.filter(([owner, channel]) => owner === id && isResult(channel));
      if (writes.length > 0) {
        task.status = 'done';
        task.cached = true;
        task.writes = writes.map(([, channel, value]) => [channel, value]);
        if (task.plan.actor.hidden !== true) host.emitter.taskUpdates(task, this.#spec.output);
      }
    }
  }
}

/** Each of them, the last first, whatever another one's release throws. @throws what the first of those threw */
async function releaseAll(contexts: readonly Context<unknown>[]): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  for (const context of [...contexts].reverse())
    await context.release().catch((error: unknown) => {
      failure ??= { error };
    });
  if (failure !== undefined) throw failure.error;
}

/** What the graph around does with a command that was meant for it. */
function localCommand({ command }: ParentCommand): Command {
  const { update, goto } = command;
  return new Command({
    ...(update === undefined ? {} : { update }),
    ...(goto === undefined ? {} : { goto }),
  });
}

/** A breakpoint: the graph stops before or after these tasks, once per change of its state. */
export function stopsAt(at: StopAt, tasks: readonly Task[], state: GraphState): boolean {
  if (at.length === 0) return false;
  const named = tasks.some((task) =>
    at === '*' ? task.plan.actor.hidden !== true : at.includes(task.name),
  );
  return named && state.changedSinceInterrupt();
}
