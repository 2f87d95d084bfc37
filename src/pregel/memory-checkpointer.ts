/**
 * Keeps checkpoints in this process: for tests, examples and graphs that need no more. Values are
 * copied in and out, so that a graph which changes an object in place changes no history.
 */
import {
  checkpointAddress,
  type Checkpoint,
  type Checkpointer,
  type CheckpointConfig,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointPendingWrite,
  type CheckpointTuple,
  type PendingWrite,
} from './checkpoint.ts';
import { ERROR, INTERRUPT, RESUME } from './reserved.ts';

interface Stored {
  checkpoint: Checkpoint;
  metadata: CheckpointMetadata;
  parentId: string | undefined;
  /** key: task id and index, so that a repeated write is stored once. */
  writes: Map<string, CheckpointPendingWrite>;
}

// These replace an earlier write of the same name; all others stay as first written.
const REPLACED: Record<string, number> = { [ERROR]: -1, [INTERRUPT]: -3, [RESUME]: -4 };

export class MemoryCheckpointer implements Checkpointer {
  /** thread → namespace → id → checkpoint, ids ascending. */
  readonly #threads = new Map<string, Map<string, Map<string, Stored>>>();

  getTuple(config: CheckpointConfig): Promise<CheckpointTuple | undefined> {
    const { threadId, ns, id } = checkpointAddress(config);
    const checkpoints = this.#checkpoints(threadId, ns);
    const wanted = id ?? latest(checkpoints.keys());
    const stored = wanted === undefined ? undefined : checkpoints.get(wanted);
    return Promise.resolve(stored && tuple(threadId, ns, stored));
  }

  async *list(
    config: CheckpointConfig,
    options: CheckpointListOptions = {},
  ): AsyncGenerator<CheckpointTuple> {
    await Promise.resolve();
    const { threadId, ns, id } = checkpointAddress(config);
    const before = options.before && checkpointAddress(options.before).id;
    const ids = [...this.#checkpoints(threadId, ns).keys()].sort().reverse();
    let left = options.limit ?? Infinity;
    for (const each of ids) {
      const stored = this.#checkpoints(threadId, ns).get(each);
      if (stored === undefined || (id !== undefined && each !== id)) continue;
      if (before !== undefined && each >= before) continue;
      const wanted = Object.entries(options.filter ?? {});
      if (!wanted.every(([key, value]) => stored.metadata[key] === value)) continue;
      if (left-- <= 0) return;
      yield tuple(threadId, ns, stored);
    }
  }

  put(
    config: CheckpointConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
  ): Promise<CheckpointConfig> {
    const { threadId, ns, id } = checkpointAddress(config);
    const known = this.#checkpoints(threadId, ns).get(checkpoint.id);
    this.#checkpoints(threadId, ns).set(checkpoint.id, {
      checkpoint: structuredClone(checkpoint),
      metadata: structuredClone(metadata),
      parentId: id,
      writes: known?.writes ?? new Map<string, CheckpointPendingWrite>(),
    });
    return Promise.resolve(address(threadId, ns, checkpoint.id));
  }

  putWrites(config: CheckpointConfig, writes: PendingWrite[], taskId: string): Promise<void> {
    const { threadId, ns, id } = checkpointAddress(config);
    const stored = id === undefined ? undefined : this.#checkpoints(threadId, ns).get(id);
    if (stored === undefined) {
      return Promise.reject(new Error(`writes for checkpoint ${String(id)}, which is not stored`));
    }
    writes.forEach(([channel, value], position) => {
      const index = REPLACED[channel] ?? position;
      const key = `${taskId}:${index}`;
      if (index >= 0 && stored.writes.has(key)) return;
      stored.writes.set(key, [taskId, channel, structuredClone(value)]);
    });
    return Promise.resolve();
  }

  deleteThread(threadId: string): Promise<void> {
    this.#threads.delete(threadId);
    return Promise.resolve();
  }

  #checkpoints(threadId: string | undefined, ns: string): Map<string, Stored> {
    const thread = threadId ?? '';
    let namespaces = this.#threads.get(thread);
    if (namespaces === undefined) {
      namespaces = new Map<string, Map<string, Stored>>();
      this.#threads.set(thread, namespaces);
    }
    let checkpoints = namespaces.get(ns);
    if (checkpoints === undefined) {
      checkpoints = new Map<string, Stored>();
      namespaces.set(ns, checkpoints);
    }
    return checkpoints;
  }
}

function address(threadId: string | undefined, ns: string, id: string): CheckpointConfig {
  return { configurable: { thread_id: threadId, checkpoint_ns: ns, checkpoint_id: id } };
}

function tuple(threadId: string | undefined, ns: string, stored: Stored): CheckpointTuple {
  return {
    config: address(threadId, ns, stored.checkpoint.id),
    checkpoint: structuredClone(stored.checkpoint),
    metadata: structuredClone(stored.metadata),
    pendingWrites: structuredClone([...stored.writes.values()]),
    ...(stored.parentId === undefined
      ? {}
      : { parentConfig: address(threadId, ns, stored.parentId) }),
  };
}

function latest(ids: Iterable<string>): string | undefined {
  let found: string | undefined;
  for (const id of ids) if (found === undefined || id > found) found = id;
  return found;
}
