/**
 * What one attempt at a task sees and does: the object behind `ActorContext` and `Writer`. One is
 * made per attempt, so it holds little; everything else is asked of its host, the running graph.
 */
import { AppError } from '../errors.ts';
import type { ActorConfig, ActorContext, EffectOptions, Writer } from './actor.ts';
import type { PendingWrite } from './checkpoint.ts';
import { interruptIdOf } from './checkpoint-id.ts';
import type { Clock } from './clock.ts';
import { GraphInterrupt } from './control.ts';
import type { RetryPolicy } from './retry.ts';
import type { NestedRun } from './run-options.ts';
import type { Task } from './task.ts';

/** Something was asked of a graph that needs a checkpointer (and a thread_id), and it has none. */
export class CheckpointerMissingError extends AppError {
  readonly code = 'checkpointer_missing' as const;
}

/** A function call inside an actor that is a task of its own (functional API). */
export interface TaskCall {
  readonly name: string;
  readonly fn: (...args: never[]) => unknown;
  readonly args: readonly unknown[];
  readonly retry: RetryPolicy | undefined;
  readonly timeoutMs: number | undefined;
}

/** What the running graph does for its tasks. */
export interface TaskHost {
  readonly step: number;
  readonly threadId: string | undefined;
  readonly config: ActorConfig;
  readonly context: unknown;
  readonly previous: unknown;
  readonly clock: Clock;
  readonly checkpointing: boolean;
  taskId(task: Task): string;
  /** Namespace of the graphs that this task runs: `node:<task id>`, after the host's own. */
  namespaceOf(task: Task): string;
  stepSignal(): AbortSignal;
  /** Answers the task had on earlier attempts; it may add to them. */
  answers(task: Task): unknown[];
  takeAnswer(task: Task, interruptId: string, at: number): { readonly value: unknown } | undefined;
  effect<T>(task: Task, key: string, fn: () => T | Promise<T>, options?: EffectOptions): Promise<T>;
  emitCustom(data: unknown): void;
  emitMessage(task: Task, chunk: unknown, metadata: Readonly<Record<string, unknown>>): void;
  read(channel: string, writes: readonly PendingWrite[] | undefined): unknown;
  call(parent: TaskContext, call: TaskCall, place: string): Promise<unknown>;
  nestedRun(context: TaskContext): NestedRun;
}

export class TaskContext implements ActorContext<never>, Writer {
  readonly task: Task;
  readonly host: TaskHost;
  readonly attempt: number;
  /** This attempt's writes; they become the task's when it succeeds. */
  readonly writes: PendingWrite[] = [];
  readonly #signal: AbortSignal | undefined;
  /** Questions asked so far. */
  #asked = 0;
  /** Functional tasks called so far. */
  #called = 0;
  /** Graphs run so far inside this attempt. */
  #nested = 0;

  constructor(host: TaskHost, task: Task, attempt: number, signal: AbortSignal | undefined) {
    this.host = host;
    this.task = task;
    this.attempt = attempt;
    this.#signal = signal;
  }

  get name(): string {
    return this.task.name;
  }
  get step(): number {
    return this.host.step;
  }
  get taskId(): string {
    return this.host.taskId(this.task);
  }
  get threadId(): string | undefined {
    return this.host.threadId;
  }
  get config(): ActorConfig {
    return this.host.config;
  }
  get context(): never {
    return this.host.context as never;
  }
  get previous(): unknown {
    return this.host.previous;
  }
  get clock(): Clock {
    return this.host.clock;
  }
  get signal(): AbortSignal {
    return this.#signal ?? this.host.stepSignal();
  }

  // The caller knows the type of the answer.
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
  interrupt<Answer = unknown>(value: unknown): Answer {
    const { host, task } = this;
    if (!host.checkpointing) {
      throw new CheckpointerMissingError(
        `"${task.name}" called interrupt(), but the graph has no checkpointer to resume from`,
      );
    }
    const answers = host.answers(task);
    const at = this.#asked;
    this.#asked += 1;
    if (at < answers.length) return answers[at] as Answer;
    const id = interruptIdOf(host.namespaceOf(task));
    const answer = host.takeAnswer(task, id, at);
    if (answer === undefined) throw new GraphInterrupt([{ id, value }]);
    answers.push(answer.value);
    return answer.value as Answer;
  }

  effect<T>(key: string, fn: () => T | Promise<T>, options?: EffectOptions): Promise<T> {
    return this.host.effect(this.task, key, fn, options);
  }

  write(data: unknown): void {
    this.host.emitCustom(data);
  }

  message(chunk: unknown, metadata: Readonly<Record<string, unknown>> = {}): void {
    this.host.emitMessage(this.task, chunk, metadata);
  }

  read(channel: string, fresh = false): unknown {
    return this.host.read(channel, fresh ? this.writes : undefined);
  }

  readFresh(channel: string): unknown {
    return this.host.read(channel, this.writes);
  }

  push(channel: string, value: unknown): void {
    this.writes.push([channel, value]);
  }

  /** Runs a functional task; the same call on a later attempt gets the kept result. */
  call(call: TaskCall): Promise<unknown> {
    const place = this.#called;
    this.#called += 1;
    return this.host.call(this, call, String(place));
  }

  /** @returns the namespace for the next graph that is run inside this attempt */
  nextNamespace(): string {
    const base = this.host.namespaceOf(this.task);
    const place = this.#nested;
    this.#nested += 1;
    return place === 0 ? base : `${base}|${place}`;
  }
}
