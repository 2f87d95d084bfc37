/** A resource around a run. */
import { BaseChannel, EMPTY, InvalidUpdateError, type Empty } from './channel.ts';

export interface ContextOptions<T> {
  /** Called once per run, before its first step. `signal` is the run's. */
  acquire: (signal: AbortSignal) => T | Promise<T>;
  /** Called once when the run ends, however it ends; not when `acquire` threw. */
  release?: (resource: T) => void | Promise<void>;
}

/**
 * Exposes a resource that needs set-up and tear-down: a connection, a client, a temporary folder.
 * It is acquired before a run's first step, released after its last, and never checkpointed.
 *
 * Merge rule: none, actors only read it.
 * @throws {InvalidUpdateError} from `update`, for any write
 * @see seed 004, "Context and BinaryOperatorAggregate", `Context(httpx.Client)`
 */
export class Context<T> extends BaseChannel<T, never> {
  readonly kind = 'Context';
  override readonly untracked = true;
  readonly #options: ContextOptions<T>;
  #resource: T | Empty = EMPTY;

  constructor(options: ContextOptions<T>) {
    super();
    this.#options = options;
  }

  fresh(): Context<T> {
    return new Context<T>(this.#options);
  }

  async acquire(signal: AbortSignal): Promise<void> {
    this.#resource = await this.#options.acquire(signal);
  }

  async release(): Promise<void> {
    if (this.#resource === EMPTY) return;
    const resource = this.#resource;
    this.#resource = EMPTY;
    await this.#options.release?.(resource);
  }

  update(values: readonly never[]): boolean {
    if (values.length > 0) throw new InvalidUpdateError('a Context is read-only');
    return false;
  }

  get(): T | Empty {
    return this.#resource;
  }

  override save(): unknown {
    return EMPTY;
  }
}
