/**
 * What a running graph does for its tasks: ids, answers, effects, events, functional calls. The
 * loop moves it from step to step.
 */
import { randomUUID } from 'node:crypto';
import type { ActorConfig, EffectOptions } from './actor.ts';
import type { GraphState } from './algorithm.ts';
import { runAs } from './ambient.ts';
import { runAttempts } from './attempts.ts';
import { EMPTY } from './channels/channel.ts';
import { derivedId } from './checkpoint-id.ts';
import type { CheckpointPendingWrite, PendingWrite } from './checkpoint.ts';
import type { Clock } from './clock.ts';
import { GraphInterrupt, type Interrupt } from './control.ts';
import { Effects } from './effects.ts';
import type { Emitter } from './emitter.ts';
import { openWrites, taskPath } from './events.ts';
import { messageMetadata } from './messages.ts';
import type { Persister } from './persister.ts';
import { INTERRUPT, PREVIOUS, RESUME, RETURN } from './reserved.ts';
import type { Resume } from './resume.ts';
import type { GraphSpec, NestedRun, RunOptions } from './run-options.ts';
import { taskIdOf } from './snapshot.ts';
import { Task } from './task.ts';
import { TaskContext, type TaskCall, type TaskHost } from './task-context.ts';
import type { ActorPlan } from './topology.ts';

export class RunHost implements TaskHost {
  readonly options: RunOptions;
  readonly spec: GraphSpec;
  readonly emitter: Emitter;
  readonly persister: Persister | undefined;
  readonly resume: Resume;
  state: GraphState;
  step = -1;
  /** The checkpoint this step began from; without checkpointer a random id, made when asked for. */
  checkpointId: string | undefined;
  /** Gives the signal of the step under way. */
  stepSignal: () => AbortSignal = () => new AbortController().signal;
  #effects: Effects | undefined;
  // Made when first needed: most runs need none of them.
  #answers: Map<string, unknown[]> | undefined;
  #returned: Map<string, unknown> | undefined;
  /** Calls under way and their interrupts, by the attempt that made them. */
  #calls: Map<TaskContext, { running: Promise<unknown>[]; interrupts: Interrupt[] }> | undefined;

  constructor(
    spec: GraphSpec,
    options: RunOptions,
    state: GraphState,
    emitter: Emitter,
    persister: Persister | undefined,
    resume: Resume,
  ) {
    this.spec = spec;
    this.options = options;
    this.state = state;
    this.emitter = emitter;
    this.persister = persister;
    this.resume = resume;
  }

  get threadId(): string | undefined {
    return this.options.threadId;
  }
  get config(): ActorConfig {
    return this.options.config;
  }
  get context(): unknown {
    return this.options.context;
  }
  get clock(): Clock {
    return this.options.clock;
  }
  get checkpointing(): boolean {
    return this.persister !== undefined;
  }
  get previous(): unknown {
    return this.read(PREVIOUS, undefined);
  }

  /** Takes over what earlier attempts at this step left. */
  load(pending: readonly CheckpointPendingWrite[]): void {
    for (const [task, channel, value] of pending) {
      if (channel === RESUME) (this.#answers ??= new Map()).set(task, [...(value as unknown[])]);
      else if (channel === RETURN) (this.#returned ??= new Map()).set(task, value);
    }
    this.#effectsOfStep().load(pending);
  }

  /** A new step: what was kept for the tasks of the last one is of no use any more. */
  nextStep(checkpointId: string | undefined): void {
    this.step += 1;
    this.checkpointId = checkpointId;
    this.#effects = undefined;
    this.#answers = undefined;
    this.#returned = undefined;
    this.#calls = undefined;
  }

  taskId(task: Task): string {
    if (task.id !== undefined) return task.id;
    this.checkpointId ??= randomUUID();
    const { topology } = this.spec;
    task.id = taskIdOf(topology, task, this.checkpointId, this.options.ns, this.step);
    return task.id;
  }

  namespaceOf(task: Task): string {
    const own = `${task.name}:${this.taskId(task)}`;
    return this.options.ns === '' ? own : `${this.options.ns}|${own}`;
  }

  triggersOf(task: Task): string[] {
    return task.kind === 'pull'
      ? task.fired.map((channel) => this.#channelName(channel))
      : ['__pregel_push'];
  }

  answers(task: Task): unknown[] {
    const id = this.taskId(task);
    this.#answers ??= new Map();
    let answers = this.#answers.get(id);
    if (answers === undefined) this.#answers.set(id, (answers = []));
    return answers;
  }

  takeAnswer(task: Task, interruptId: string, at: number): { readonly value: unknown } | undefined {
    return this.resume.take(this.taskId(task), interruptId, at);
  }

  effect<T>(
    task: Task,
    key: string,
    fn: () => T | Promise<T>,
    options?: EffectOptions,
  ): Promise<T> {
    return this.#effectsOfStep().run(this.taskId(task), task.name, key, fn, options);
  }

  #effectsOfStep(): Effects {
    const { persister } = this;
    this.#effects ??= new Effects(
      persister === undefined
        ? undefined
        : async (id, writes) => {
            // Found again only if the task is: from the checkpoints of the graphs around.
            await this.options.parent?.makeDurable();
            await persister.writesDurably(id, writes);
          },
    );
    return this.#effects;
  }

  emitCustom(data: unknown): void {
    this.emitter.emit('custom', data);
  }

  emitMessage(task: Task, chunk: unknown, metadata: Readonly<Record<string, unknown>>): void {
    if (this.emitter.messages) this.emitter.message(chunk, this.messageMetadata(task, metadata));
  }

  messageMetadata(
    task: Task,
    extra: Readonly<Record<string, unknown>> = {},
  ): Record<string, unknown> {
    return messageMetadata(
      this.step,
      task.name,
      this.triggersOf(task),
      taskPath(task),
      this.namespaceOf(task),
      { ...this.config.metadata, ...task.plan.actor.metadata, ...extra },
    );
  }

  read(name: string, writes: readonly PendingWrite[] | undefined): unknown {
    const index = this.spec.topology.channelByName.get(name);
    if (index === undefined) return undefined;
    let channel = this.state.channels[index]!;
    const own = writes?.filter(([written]) => written === name).map(([, value]) => value) ?? [];
    if (own.length > 0) {
      const copy = channel.fresh(channel.save());
      const current = channel.untracked ? channel.get() : EMPTY;
      if (current !== EMPTY) copy.update([current]);
      copy.update(own);
      channel = copy;
    }
    const value = channel.get();
    return value === EMPTY ? undefined : value;
  }

  /** Keeps what a task wrote, or why it did not finish. */
  keep(task: Task): void {
    if (this.persister === undefined) return;
    const id = this.taskId(task);
    const writes =
      task.status === 'done' ? task.writes : openWrites(task, this.#answers?.get(id) ?? []);
    if (writes.length > 0) this.persister.writes(id, writes);
  }

  // Functional tasks: calls inside an actor that are kept like tasks.

  call(parent: TaskContext, call: TaskCall, place: string): Promise<unknown> {
    const task = new Task('call', callPlan(call.name), call.args, [], -1);
    task.id = derivedId(parent.taskId, 'call', place, call.name);
    if (this.#returned?.has(task.id) === true) {
      return Promise.resolve(this.#returned.get(task.id));
    }
    this.#calls ??= new Map();
    let calls = this.#calls.get(parent);
    if (calls === undefined) this.#calls.set(parent, (calls = { running: [], interrupts: [] }));
    const result = this.#call(parent, task, call).catch((error: unknown) => {
      if (error instanceof GraphInterrupt) calls.interrupts.push(...error.interrupts);
      throw error;
    });
    calls.running.push(result.catch(() => undefined));
    return result;
  }

  async #call(parent: TaskContext, task: Task, call: TaskCall): Promise<unknown> {
    const { emitter, step } = this;
    const id = task.id!;
    if (emitter.tasks) emitter.taskStart(task, id, ['__pregel_push'], step);
    task.status = 'running';
    try {
      const value = await runAttempts(
        {
          name: call.name,
          clock: this.clock,
          signal: parent.signal,
          retry: call.retry,
          timeoutMs: call.timeoutMs,
        },
        (attempt, signal) =>
          runAs(new TaskContext(this, task, attempt, signal), () =>
            call.fn(...(call.args as never[])),
          ),
      );
      task.status = 'done';
      task.writes = [[RETURN, value]];
      (this.#returned ??= new Map()).set(id, value);
      this.keep(task);
      if (this.persister?.durability === 'sync') await this.persister.settle();
      emitter.emit('updates', { [task.name]: value });
      return value;
    } catch (error) {
      if (error instanceof GraphInterrupt) {
        task.status = 'interrupted';
        task.interrupts = error.interrupts;
      } else {
        task.status = 'failed';
        task.error = error;
      }
      this.keep(task);
      throw error;
    } finally {
      if (emitter.tasks) emitter.taskResult(task, id, RETURN, step);
    }
  }

  /** An actor ends by an interrupt of one of its calls: waits for the others, and shows all. */
  async gatherInterrupts(parent: TaskContext, thrown: GraphInterrupt): Promise<GraphInterrupt> {
    const calls = this.#calls?.get(parent);
    if (calls === undefined) return thrown;
    await Promise.all(calls.running);
    const all = new Map(thrown.interrupts.map((each) => [each.id, each]));
    for (const each of calls.interrupts) all.set(each.id, each);
    return new GraphInterrupt([...all.values()]);
  }

  callsOf(parent: TaskContext): boolean {
    return this.#calls?.has(parent) === true;
  }

  /** What a graph that is run inside this attempt inherits. */
  nestedRun(context: TaskContext): NestedRun {
    const { options, checkpointId } = this;
    return {
      ns: context.nextNamespace(),
      checkpointer: options.checkpointer,
      durability: options.durability,
      threadId: options.threadId,
      runId: options.runId,
      config: options.config,
      context: options.context,
      clock: options.clock,
      signal: context.signal,
      stepsMax: options.stepsMax,
      maxConcurrency: options.maxConcurrency,
      sink: this.emitter.nested(),
      parent: {
        resume: this.resume,
        parents: {
          ...options.parent?.parents,
          ...(checkpointId === undefined ? {} : { [options.ns]: checkpointId }),
        },
        makeDurable: async () => {
          await options.parent?.makeDurable();
          this.persister?.release();
          await this.persister?.settle();
        },
      },
    };
  }

  #channelName(index: number): string {
    return this.spec.topology.channelNames[index]!;
  }
}

function callPlan(name: string): ActorPlan {
  return {
    index: -1,
    name,
    actor: {
      triggers: [],
      input: { kind: 'value', channels: [] },
      run: () => undefined,
      write: () => undefined,
    },
    triggers: [],
    input: { kind: 'value', channels: [] },
  };
}

/** The interrupts a pending write holds. */
export function interruptsOf(
  pending: readonly CheckpointPendingWrite[],
  taskId: string,
): Interrupt[] {
  return pending
    .filter(([task, channel]) => task === taskId && channel === INTERRUPT)
    .flatMap(([, , value]) => value as Interrupt | Interrupt[]);
}
