/**
 * Side effects that happen once. A record is written before the effect and one after it, beside
 * the checkpoint the step began from; a later attempt at the same task reads them:
 *
 *   nothing          → run it
 *   started, done    → give the kept result
 *   started, failed  → run it: it threw, so its author knows it may be tried again
 *   started          → nobody knows: EffectUnknownError, or run it if declared repeatable
 *
 * Records have ids of their own, because a saver keeps the first write of (task, index) only.
 */
import { AppError } from '../errors.ts';
import type { EffectOptions } from './actor.ts';
import type { CheckpointPendingWrite, PendingWrite } from './checkpoint.ts';
import { derivedId } from './checkpoint-id.ts';
import { EFFECT } from './reserved.ts';

/** An earlier attempt began this effect and died in it: it may have happened or not. */
export class EffectUnknownError extends AppError {
  readonly code = 'effect_unknown' as const;
  readonly key: string;

  constructor(key: string, actor: string) {
    super(
      `the outcome of effect "${key}" of "${actor}" is unknown: an earlier attempt died while it ran`,
    );
    this.key = key;
  }
}

interface EffectRecord {
  readonly task: string;
  readonly key: string;
  readonly attempt: number;
  readonly state: 'started' | 'done' | 'failed';
  readonly value?: unknown;
}

/** Writes beside the current checkpoint; settles when they are durable. */
export type WriteDurably = (taskId: string, writes: PendingWrite[]) => Promise<void>;

/** The effects of one graph's current step. */
export class Effects {
  readonly #write: WriteDurably | undefined;
  /** (task, key) → the last record. */
  readonly #records = new Map<string, EffectRecord>();
  /** Calls of this attempt: a second one with the same key gets the same promise. */
  readonly #running = new Map<string, Promise<unknown>>();

  /** @param write undefined: no checkpointer, results are kept for the retries of this process */
  constructor(write: WriteDurably | undefined) {
    this.#write = write;
  }

  load(pending: readonly CheckpointPendingWrite[]): void {
    for (const [, channel, value] of pending) {
      if (channel !== EFFECT) continue;
      const record = value as EffectRecord;
      const id = slot(record.task, record.key);
      const known = this.#records.get(id);
      const newer =
        known === undefined ||
        record.attempt > known.attempt ||
        (record.attempt === known.attempt && record.state !== 'started');
      if (newer) this.#records.set(id, record);
    }
  }

  run<T>(
    taskId: string,
    actor: string,
    key: string,
    fn: () => T | Promise<T>,
    options: EffectOptions = {},
  ): Promise<T> {
    const id = slot(taskId, key);
    const running = this.#running.get(id);
    if (running !== undefined) return running as Promise<T>;
    const promise = this.#run(taskId, actor, key, fn, options).finally(() => {
      this.#running.delete(id);
    });
    this.#running.set(id, promise);
    return promise;
  }

  async #run<T>(
    task: string,
    actor: string,
    key: string,
    fn: () => T | Promise<T>,
    options: EffectOptions,
  ): Promise<T> {
    const last = this.#records.get(slot(task, key));
    if (last?.state === 'done') return last.value as T;
    if (last?.state === 'started' && options.onUnknown !== 'repeat') {
      throw new EffectUnknownError(key, actor);
    }
    const attempt = (last?.attempt ?? 0) + 1;
    await this.#record({ task, key, attempt, state: 'started' });
    let value: T;
    try {
      value = await fn();
    } catch (error) {
      await this.#record({ task, key, attempt, state: 'failed' });
      throw error;
    }
    await this.#record({ task, key, attempt, state: 'done', value });
    return value;
  }

  async #record(record: EffectRecord): Promise<void> {
    const { task, key, attempt, state } = record;
    const id = derivedId(task, 'effect', key, attempt, state);
    await this.#write?.(id, [[EFFECT, record]]);
    // Noted after it is durable, so that a failed write leaves the effect unstarted.
    this.#records.set(slot(task, key), record);
  }
}

const slot = (task: string, key: string): string => `${task}\u0000${key}`;
