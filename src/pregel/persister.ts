/**
 * When state is written. One queue per graph and run keeps the order (a checkpoint before the
 * writes that belong to it, a parent before its child), the durability mode decides who waits:
 *
 *   sync   the next step waits until the checkpoint is stored
 *   async  it does not; a failed write ends the run at the next step or at its end
 *   exit   the last checkpoint is stored when the run ends; only an effect makes it earlier
 */
import {
  type Checkpoint,
  type Checkpointer,
  type CheckpointConfig,
  type CheckpointMetadata,
  type PendingWrite,
} from './checkpoint.ts';

export type Durability = 'sync' | 'async' | 'exit';

/** Writes that may be under way in `async` before a step waits for them. */
export const ASYNC_WRITES_MAX = 16;

interface HeldCheckpoint {
  readonly config: CheckpointConfig;
  readonly checkpoint: Checkpoint;
  readonly metadata: CheckpointMetadata;
  readonly versions: Record<string, number>;
  readonly writes: { readonly task: string; readonly writes: PendingWrite[] }[];
}

export class Persister {
  readonly durability: Durability;
  readonly #checkpointer: Checkpointer;
  readonly #threadId: string;
  readonly #ns: string;
  /** The checkpoint in memory that writes belong to. */
  #current: string | undefined;
  /** The last one given to the saver: the parent of the next. */
  #stored: string | undefined;
  #held: HeldCheckpoint | undefined;
  #changed: Record<string, number> = {};
  #tail: Promise<void> = Promise.resolve();
  #inFlight = 0;
  #failure: { readonly error: unknown } | undefined;
  /** Extra keys of the config that the caller's saver wants (its fence, for instance). */
  readonly #configurable: Readonly<Record<string, unknown>>;

  constructor(
    checkpointer: Checkpointer,
    durability: Durability,
    threadId: string,
    ns: string,
    configurable: Readonly<Record<string, unknown>>,
  ) {
    this.#checkpointer = checkpointer;
    this.durability = durability;
    this.#threadId = threadId;
    this.#ns = ns;
    this.#configurable = configurable;
  }

  /** The state was loaded from this checkpoint. */
  start(checkpointId: string | undefined): void {
    this.#current = checkpointId;
    this.#stored = checkpointId;
  }

  /** @returns a promise when the caller has to wait before the next step */
  put(
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    versions: Record<string, number>,
  ): undefined | Promise<void> {
    this.#current = checkpoint.id;
    const config = this.#config(this.#stored);
    if (this.durability === 'exit') {
      Object.assign(this.#changed, versions);
      this.#held = { config, checkpoint, metadata, versions: this.#changed, writes: [] };
      return undefined;
    }
    this.#stored = checkpoint.id;
    this.#enqueue(() => this.#checkpointer.put(config, checkpoint, metadata, versions));
    if (this.durability === 'sync' || this.#inFlight >= ASYNC_WRITES_MAX) return this.settle();
    return this.#failure === undefined ? undefined : this.settle();
  }

  /** Keeps a task's writes beside the current checkpoint. */
  writes(task: string, writes: PendingWrite[]): void {
    if (this.#held !== undefined) {
      this.#held.writes.push({ task, writes });
      return;
    }
    const config = this.#config(this.#current);
    this.#enqueue(() => this.#checkpointer.putWrites(config, writes, task));
  }

  /** Like `writes`, and settles when they and the checkpoint are stored, in every mode. */
  async writesDurably(task: string, writes: PendingWrite[]): Promise<void> {
    this.release();
    this.writes(task, writes);
    await this.settle();
  }

  /** Hands a held checkpoint (`exit`) to the saver. */
  release(): void {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    this.#changed = {};
    this.#stored = held.checkpoint.id;
    this.#enqueue(() =>
      this.#checkpointer.put(held.config, held.checkpoint, held.metadata, held.versions),
    );
    for (const { task, writes } of held.writes) this.writes(task, writes);
  }

  /** Settles when everything handed over is stored. @throws what the saver threw */
  async settle(): Promise<void> {
    await this.#tail;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #enqueue(write: () => Promise<unknown>): void {
    this.#inFlight += 1;
    this.#tail = this.#tail.then(async () => {
      try {
        // After a failed write nothing more is stored: a child without its parent is worse.
        if (this.#failure === undefined) await write();
      } catch (error) {
        this.#failure = { error };
      } finally {
        this.#inFlight -= 1;
      }
    });
  }

  #config(checkpointId: string | undefined): CheckpointConfig {
    return {
      configurable: {
        ...this.#configurable,
        thread_id: this.#threadId,
        checkpoint_ns: this.#ns,
        ...(checkpointId === undefined ? {} : { checkpoint_id: checkpointId }),
      },
    };
  }
}
