/** Turns what happens in one graph's run into stream events; asks first whether anybody listens. */
import type { Clock } from './clock.ts';
import type { Interrupt } from './control.ts';
import { taskEvent, taskResultEvent, updatesEvent, type Selection } from './events.ts';
import { messagesIn } from './messages.ts';
import { INTERRUPT } from './reserved.ts';
import type { PregelStreamMode, StreamSink } from './stream-modes.ts';
import type { Task } from './task.ts';

export class Emitter {
  readonly values: boolean;
  readonly updates: boolean;
  readonly custom: boolean;
  readonly messages: boolean;
  /** Tasks, for either of two modes. */
  readonly tasks: boolean;
  readonly checkpoints: boolean;
  readonly #sink: StreamSink | undefined;
  readonly #namespace: readonly string[];
  readonly #clock: Clock;
  /** Ids of messages that were shown in this run. */
  #shown: Set<string> | undefined;

  constructor(sink: StreamSink | undefined, ns: string, clock: Clock) {
    this.#sink = sink;
    this.#namespace = ns === '' ? [] : ns.split('|');
    this.#clock = clock;
    const has = (mode: PregelStreamMode): boolean => sink?.modes.has(mode) === true;
    this.values = has('values');
    this.updates = has('updates');
    this.custom = has('custom');
    this.messages = has('messages');
    this.tasks = has('tasks') || has('debug');
    this.checkpoints = has('checkpoints') || has('debug');
  }

  /** Where a graph inside a task of this run emits to. */
  nested(): StreamSink | undefined {
    const sink = this.#sink;
    if (sink === undefined || sink.subgraphs) return sink;
    const shown = (['custom', 'messages'] as const).filter((mode) => sink.modes.has(mode));
    return {
      modes: new Set(shown),
      subgraphs: false,
      emit: (_namespace, mode, payload) => {
        sink.emit(this.#namespace, mode, payload);
      },
      room: () => sink.room(),
    };
  }

  room(): Promise<void> | undefined {
    return this.#sink?.room();
  }

  emit(mode: PregelStreamMode, payload: unknown): void {
    if (this.#sink?.modes.has(mode) === true) this.#sink.emit(this.#namespace, mode, payload);
  }

  /** The run stopped, or will stop, at these. */
  interrupts(interrupts: readonly Interrupt[]): void {
    this.emit('updates', { [INTERRUPT]: interrupts });
    this.emit('values', { [INTERRUPT]: interrupts });
  }

  taskUpdates(task: Task, outputs: Selection): void {
    if (this.updates) this.emit('updates', updatesEvent(task, outputs));
  }

  taskStart(task: Task, id: string, triggers: readonly string[], step: number): void {
    this.#withDebug('tasks', 'task', step, taskEvent(task, id, triggers));
  }

  taskResult(task: Task, id: string, streamed: Selection, step: number): void {
    this.#withDebug('tasks', 'task_result', step, taskResultEvent(task, id, streamed));
  }

  checkpoint(payload: Record<string, unknown>, step: number): void {
    this.#withDebug('checkpoints', 'checkpoint', step, payload);
  }

  message(chunk: unknown, metadata: Record<string, unknown>): void {
    const { id } = chunk as { id?: unknown };
    if (typeof id === 'string') (this.#shown ??= new Set()).add(id);
    this.emit('messages', [chunk, metadata]);
  }

  /** Whole messages an actor wrote and that were not shown in pieces before. */
  messagesOf(task: Task, metadata: () => Record<string, unknown>): void {
    for (const [, value] of task.writes) {
      for (const message of messagesIn(value)) {
        if (message.id !== undefined && this.#shown?.has(message.id) === true) continue;
        this.message(message, metadata());
      }
    }
  }

  #withDebug(
    mode: 'tasks' | 'checkpoints',
    type: 'task' | 'task_result' | 'checkpoint',
    step: number,
    payload: Record<string, unknown>,
  ): void {
    this.emit(mode, payload);
    if (this.#sink?.modes.has('debug') !== true) return;
    const timestamp = new Date(this.#clock.now()).toISOString();
    this.emit('debug', { step, type, timestamp, payload });
  }
}
