/**
 * Our runtime's checkpoints over our checkpoint storage: one instance per execution or API call, bound
 * to its writer's thread and term. Values are stored as JSON.
 *
 * It remembers the thread's latest checkpoint, read or put, so that the state at the end of a run costs no
 * query: nobody else can write the thread's checkpoints while this term lasts.
 */
import type { CheckpointQueue } from '../../checkpoints/queue.ts';
import { valuesOf } from '../../checkpoints/checkpoint.ts';
import type { Encoded, StoredCheckpoint } from '../../checkpoints/checkpoint.ts';
import type { CheckpointStorage } from '../../checkpoints/storage.ts';
import { mergeWrites, SPECIAL_INDEX } from '../../checkpoints/pending-writes.ts';
import { ChannelValues } from '../../checkpoints/values.ts';
import { AppError } from '../../errors.ts';
import {
  checkpointAddress,
  type Checkpoint,
  type Checkpointer,
  type CheckpointConfig,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointTuple,
  type PendingWrite,
} from '../../pregel/checkpoint.ts';
import { EFFECT } from '../../pregel/reserved.ts';
import { encodeData } from '../serialise.ts';

class CheckpointThreadError extends AppError {
  readonly code = 'input_invalid';
}

export interface PregelSaverOptions {
  /** `sync`: a put settles when it is in Postgres. `async`: at once; the queue reports failures. */
  readonly durability: 'sync' | 'async';
  /** The thread has no checkpoints: none is looked for. */
  readonly freshThread?: boolean | undefined;
}

export class PregelSaver implements Checkpointer {
  readonly #storage: CheckpointStorage;
  readonly #queue: CheckpointQueue;
  readonly #options: PregelSaverOptions;
  readonly #values = new ChannelValues();
  /** null: the thread has none. */
  #latest: CheckpointTuple | null | undefined;

  constructor(storage: CheckpointStorage, queue: CheckpointQueue, options: PregelSaverOptions) {
    this.#storage = storage;
    this.#queue = queue;
    this.#options = options;
    if (options.freshThread === true) this.#latest = null;
  }

  async getTuple(config: CheckpointConfig): Promise<CheckpointTuple | undefined> {
    const { threadId, ns, id } = checkpointAddress(config);
    if (threadId === undefined) return undefined;
    const cacheable = ns === '' && threadId === this.#queue.writer.threadId;
    if (cacheable && this.#latest === null && id === undefined) return undefined;
    if (cacheable && this.#latest && (id === undefined || id === this.#latest.checkpoint.id)) {
      return this.#latest;
    }
    if (this.#queue.pending) await this.#queue.flush();
    const stored = await this.#storage.read(threadId, ns, id);
    if (stored?.threadId === this.#queue.writer.threadId) this.#values.seen(stored);
    const tuple = stored && tupleOf(stored);
    if (cacheable && id === undefined) this.#latest = tuple ?? null;
    return tuple;
  }

  async *list(
    config: CheckpointConfig,
    options: CheckpointListOptions = {},
  ): AsyncGenerator<CheckpointTuple> {
    if (this.#queue.pending) await this.#queue.flush();
    const { threadId, ns, id } = checkpointAddress(config);
    const stored = await this.#storage.list({
      threadId,
      ns,
      id,
      beforeId: options.before && checkpointAddress(options.before).id,
      metadata: options.filter,
      limit: options.limit,
    });
    for (const checkpoint of stored) yield tupleOf(checkpoint);
  }

  async put(
    config: CheckpointConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: Record<string, number | string>,
  ): Promise<CheckpointConfig> {
    const { threadId, ns, id: parentId } = checkpointAddress(config);
    this.#assertOwn(threadId);
    const { channel_values, v, ts, channel_versions, versions_seen } = checkpoint;
    const head = { v, ts, channel_versions, versions_seen };
    const placement = this.#values.plan({ ns, parentId, head }, channel_values, newVersions);
    const encoded = new Map(
      placement.unknown.map((channel) => [channel, encode(channel_values[channel])]),
    );
    this.#queue.put({
      ns,
      id: checkpoint.id,
      parentId: parentId ?? null,
      head,
      metadata,
      ...placement.place(encoded),
    });
    const saved = configOf(threadId, ns, checkpoint.id);
    if (ns === '') {
      this.#latest = {
        config: saved,
        checkpoint,
        metadata,
        pendingWrites: [],
        ...(parentId === undefined ? {} : { parentConfig: configOf(threadId, ns, parentId) }),
      };
    }
    if (this.#options.durability === 'sync') await this.#queue.flush();
    else await this.#queue.drained();
    return saved;
  }

  async putWrites(config: CheckpointConfig, writes: PendingWrite[], taskId: string): Promise<void> {
    const { threadId, ns, id } = checkpointAddress(config);
    this.#assertOwn(threadId);
    if (id === undefined) throw new CheckpointThreadError('writes of a task need a checkpoint_id');
    writes.forEach(([channel, value], position) => {
      const idx = SPECIAL_INDEX[channel] ?? position;
      this.#queue.putWrite({ ns, checkpointId: id, taskId, channel, idx, ...encode(value) });
    });
    if (ns === '' && this.#latest?.checkpoint.id === id) {
      this.#latest.pendingWrites = mergeWrites(this.#latest.pendingWrites ?? [], writes, taskId);
    }
    // The record of an effect is written before the effect, whatever the durability of the run.
    const effect = writes.some(([channel]) => channel === EFFECT);
    if (effect || this.#options.durability === 'sync') await this.#queue.flush();
  }

  #assertOwn(threadId: string | undefined): asserts threadId is string {
    const { writer } = this.#queue;
    if (threadId !== writer.threadId) {
      throw new CheckpointThreadError(
        `configurable.thread_id: this run writes thread ${writer.threadId}, not ${String(threadId)}`,
      );
    }
  }
}

const encode = (value: unknown): Encoded => ({ type: 'json', data: encodeData(value) });

const decode = (type: string, data: string): unknown =>
  type === 'bytes' ? new Uint8Array(Buffer.from(data, 'base64')) : JSON.parse(data);

function configOf(threadId: string, ns: string, id: string): CheckpointConfig {
  return { configurable: { thread_id: threadId, checkpoint_ns: ns, checkpoint_id: id } };
}

function tupleOf(stored: StoredCheckpoint): CheckpointTuple {
  const { threadId, ns, id, parentId, head } = stored;
  return {
    config: configOf(threadId, ns, id),
    checkpoint: {
      ...head,
      id,
      channel_values: Object.fromEntries(
        valuesOf(stored).map(([channel, type, data]) => [channel, decode(type, data)]),
      ),
    },
    metadata: stored.metadata as CheckpointMetadata,
    pendingWrites: stored.writes.map(([task, channel, type, data]) => [
      task,
      channel,
      decode(type, data),
    ]),
    ...(parentId === null ? {} : { parentConfig: configOf(threadId, ns, parentId) }),
  };
}
