/**
 * The execution phase of one superstep: all tasks in parallel, until all are done, or one fails,
 * or time is up (seed 004, "Overview").
 *
 * Synchronous actors cost no promise: `execute` returns undefined when nothing is left to wait
 * for. The abort controller and its listeners exist only for steps that wait or that ask for a
 * signal.
 */
import { AppError } from '../errors.ts';
import type { Clock } from './clock.ts';
import { GraphInterrupt, ParentCommand } from './control.ts';
import { NO_WRITES } from './reserved.ts';
import type { Task } from './task.ts';

/** The step's tasks were not done in time. */
export class StepTimeoutError extends AppError {
  readonly code = 'step_timeout' as const;
  override readonly retryable = true;
}

/** How long the siblings of a failed actor may take to end before the step ends without them. */
export const CANCEL_GRACE_MS = 2_000;

export interface StepOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
  /** Tasks that run at once. */
  readonly maxConcurrency: number;
  /** Starts a task; returns a promise only when it has to wait. */
  readonly run: (task: Task) => undefined | Promise<void>;
  /** Called when a task is done, interrupted or failed, with how many of the step are left. */
  readonly settled: (task: Task, left: number) => void;
}

export class Step {
  readonly #tasks: readonly Task[];
  readonly #options: StepOptions;
  #next = 0;
  #running = 0;
  #left = 0;
  #closed = false;
  #controller: AbortController | undefined;
  #abortReason: unknown;
  #unlink: (() => void) | undefined;
  #failure: { readonly task: Task; readonly error: unknown } | undefined;
  #command: ParentCommand | undefined;
  #wake: (() => void) | undefined;
  /** Set while waiting: starts the time that siblings have to end. */
  #failing: (() => void) | undefined;

  constructor(tasks: readonly Task[], options: StepOptions) {
    this.#tasks = tasks;
    this.#options = options;
    for (const task of tasks) if (task.status === 'planned') this.#left += 1;
  }

  /** The signal of all tasks of this step. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      const outer = this.#options.signal;
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
      else if (outer?.aborted === true) this.#controller.abort(outer.reason);
      else if (outer !== undefined) {
        const controller = this.#controller;
        const forward = (): void => {
          controller.abort(outer.reason);
        };
        outer.addEventListener('abort', forward, { once: true });
        this.#unlink = () => {
          outer.removeEventListener('abort', forward);
        };
      }
    }
    return this.#controller.signal;
  }

  /** The first failure; the step's result otherwise is in its tasks. */
  get failure(): { readonly task: Task; readonly error: unknown } | undefined {
    return this.#failure;
  }

  /** A subgraph's node spoke to the graph around it. */
  get command(): ParentCommand | undefined {
    return this.#command;
  }

  /** @returns undefined when all is done. The promise rejects when the run's signal is aborted. */
  execute(): undefined | Promise<void> {
    this.#startMore();
    if (this.#running === 0) {
      this.#close();
      return undefined;
    }
    return this.#wait();
  }

  #startMore(): void {
    const { maxConcurrency } = this.#options;
    while (this.#next < this.#tasks.length && this.#running < maxConcurrency) {
      if (this.#failure !== undefined) return;
      const task = this.#tasks[this.#next]!;
      this.#next += 1;
      if (task.status === 'planned') this.#start(task);
    }
  }

  #start(task: Task): void {
    task.status = 'running';
    let promise: undefined | Promise<void>;
    try {
      promise = this.#options.run(task);
    } catch (error) {
      this.#failed(task, error);
      return;
    }
    if (promise === undefined) {
      this.#done(task);
      return;
    }
    this.#running += 1;
    promise.then(
      () => {
        this.#later(() => {
          this.#done(task);
        });
      },
      (error: unknown) => {
        this.#later(() => {
          this.#failed(task, error);
        });
      },
    );
  }

  /** An actor ended after the step began to wait; when the step is closed it comes too late. */
  #later(settle: () => void): void {
    if (this.#closed) return;
    this.#running -= 1;
    settle();
    this.#startMore();
    if (this.#running === 0) this.#wake?.();
  }

  #done(task: Task): void {
    task.status = 'done';
    if (task.writes.length === 0) task.writes.push([NO_WRITES, null]);
    this.#left -= 1;
    this.#tell(task);
  }

  /** What cannot be told (an update that no event can hold) fails the step: nobody else would hear of it. */
  #tell(task: Task): void {
    try {
      this.#options.settled(task, this.#left);
    } catch (error) {
      if (this.#failure !== undefined) return;
      this.#failure = { task, error };
      this.#abort(error);
    }
  }

  #failed(task: Task, error: unknown): void {
    this.#left -= 1;
    if (error instanceof GraphInterrupt) {
      task.status = 'interrupted';
      task.interrupts = error.interrupts;
    } else if (error instanceof ParentCommand) {
      task.status = 'interrupted';
      this.#command ??= error;
    } else {
      // What fails after the abort fails because of it: the first failure is the reason.
      const cancelled = this.#failure !== undefined;
      task.status = cancelled ? 'planned' : 'failed';
      task.error = error;
      if (cancelled) return;
      this.#failure = { task, error };
      this.#abort(error);
    }
    this.#tell(task);
  }

  #abort(reason: unknown): void {
    this.#abortReason = reason ?? new Error('a sibling failed');
    this.#controller?.abort(this.#abortReason);
    this.#failing?.();
  }

  async #wait(): Promise<void> {
    const { clock, signal, timeoutMs } = this.#options;
    const cancels: (() => void)[] = [];
    try {
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve;
        if (signal !== undefined) {
          const aborted = (): void => {
            reject(signal.reason as Error);
          };
          if (signal.aborted) aborted();
          else {
            signal.addEventListener('abort', aborted, { once: true });
            cancels.push(() => {
              signal.removeEventListener('abort', aborted);
            });
          }
        }
        if (timeoutMs !== undefined) {
          cancels.push(
            clock.timer(timeoutMs, () => {
              const error = new StepTimeoutError(`the step took longer than ${timeoutMs} ms`);
              this.#abort(error);
              reject(error);
            }),
          );
        }
        // Siblings of a failed actor are told by the signal; this is for those that do not listen.
        const grace = (): void => {
          cancels.push(clock.timer(CANCEL_GRACE_MS, resolve));
        };
        if (this.#failure !== undefined) grace();
        else this.#failing = grace;
      });
    } finally {
      for (const cancel of cancels) cancel();
      this.#close();
    }
  }

  #close(): void {
    this.#closed = true;
    this.#unlink?.();
  }
}
