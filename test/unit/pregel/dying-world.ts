/**
 * A process that can be killed at any moment: every store operation and every actor's start and
 * end is an event, and at the chosen event the process is dead. Whatever it was doing never
 * settles; what had been stored stays. Then a new process may start on the same store.
 */
import type {
  Checkpointer,
  CheckpointConfig,
  CheckpointMetadata,
  Checkpoint,
  PendingWrite,
} from '../../../src/pregel/index.ts';
import { MemoryCheckpointer } from '../../../src/pregel/index.ts';

const never = <T>(): Promise<T> => new Promise<T>(() => undefined);

export class World {
  readonly store = new MemoryCheckpointer();
  /** Everything that happened in the current process. */
  log: string[] = [];
  dead = false;
  /** Entries of the state's `log` that are stored, in a checkpoint or beside one. */
  readonly stored = new Set<string>();
  #killAt = Infinity;
  #died: () => void = () => undefined;
  /** Settles when the process dies. */
  death: Promise<void> = never();

  /** Starts a process that dies at its `killAt`-th event (from 1). */
  start(killAt = Infinity): void {
    this.log = [];
    this.dead = false;
    this.#killAt = killAt;
    this.death = new Promise((resolve) => {
      this.#died = resolve;
    });
  }

  /** @returns false when the process is dead */
  event(name: string): boolean {
    if (this.dead) return false;
    this.log.push(name);
    if (this.log.length >= this.#killAt) {
      this.dead = true;
      this.#died();
      return false;
    }
    return true;
  }

  /** An actor of this process: counts its start and end. */
  actor<Input, Output>(
    name: (input: Input) => string,
    fn: (input: Input) => Output | Promise<Output>,
  ): (input: Input) => Output | Promise<Output> {
    return (input) => {
      if (!this.event(`start ${name(input)}`)) return never();
      const end = (output: Output): Output | Promise<Output> =>
        this.event(`end ${name(input)}`) ? output : never();
      const output = fn(input);
      return output instanceof Promise ? output.then(end) : end(output);
    };
  }

  /** The store, as a process that may die sees it. One per process. */
  checkpointer(): Checkpointer {
    const { store } = this;
    const log = this.log;
    // A process that died earlier must not come back to life in a later one.
    const dead = (): boolean => this.dead || this.log !== log;
    return {
      getTuple: (config) => store.getTuple(config),
      list: (config, options) => store.list(config, options),
      put: async (
        config: CheckpointConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
      ) => {
        if (dead() || !this.event('begin put')) return never();
        const result = await store.put(config, checkpoint, metadata);
        this.#noteStored(checkpoint.channel_values['log']);
        return this.event('stored step') ? result : never();
      },
      putWrites: async (config: CheckpointConfig, writes: PendingWrite[], task: string) => {
        if (dead() || !this.event('begin writes')) return never();
        await store.putWrites(config, writes, task);
        for (const [channel, value] of writes) if (channel === 'log') this.#noteStored(value);
        if (!this.event('stored writes')) await never();
      },
    };
  }

  #noteStored(log: unknown): void {
    for (const entry of (log as string[] | undefined) ?? []) this.stored.add(entry);
  }
}
