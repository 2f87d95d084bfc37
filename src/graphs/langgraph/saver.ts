/**
 * LangGraph.js's saver over our checkpoint storage: one instance per execution or API call, bound to its
 * writer's thread and term.
 *
 * It remembers the thread's latest checkpoint, read or put, so that the state at the end of a run costs no
 * query: nobody else can write the thread's checkpoints while this term lasts.
 */
import { BaseCheckpointSaver, copyCheckpoint } from '@langchain/langgraph';
import type {
  ChannelVersions,
  Checkpoint,
  CheckpointListOptions,
  CheckpointMetadata,
  CheckpointPendingWrite,
  CheckpointTuple,
  PendingWrite,
} from '@langchain/langgraph-checkpoint';
import type { RunnableConfig } from '@langchain/core/runnables';
import type { CheckpointQueue } from '../../checkpoints/queue.ts';
import { deleteThreadCheckpoints } from '../../checkpoints/lifecycle.ts';
import { ChannelValues } from '../../checkpoints/values.ts';
import { valuesOf } from '../../checkpoints/checkpoint.ts';
import type { Encoded, StoredCheckpoint } from '../../checkpoints/checkpoint.ts';
import type { CheckpointStorage } from '../../checkpoints/storage.ts';
import { mergeWrites, SPECIAL_INDEX } from '../../checkpoints/pending-writes.ts';
import { AppError } from '../../errors.ts';

const TASKS = '__pregel_tasks';
const ERROR = '__error__';
/** LangGraph's own default. */
const STEPS_MAX = 25;
/** Checkpoints of this version and later keep pending sends as a channel. */
const SENDS_ARE_A_CHANNEL_SINCE = 4;

export class CheckpointConfigError extends AppError {
  readonly code = 'input_invalid';
}

export interface SaverOptions {
  /** Added to every checkpoint's metadata: what history is searched by. */
  readonly metadata: Record<string, unknown>;
  /**
   * `each`: a put settles when it is in Postgres, and rejects when it cannot be.
   * `sync`: the same, but a failure is only told to the queue's `onFailure` (see CheckpointQueue).
   * `async`: a put settles at once.
   */
  readonly durability: 'each' | 'sync' | 'async';
  /** The thread has no checkpoints: none is looked for. */
  readonly freshThread?: boolean | undefined;
  /** Asked at every checkpoint: what it returns holds the graph back. */
  hold?(): Promise<void> | undefined;
  /**
   * Settles when all that the graph has said is taken. LangGraph.js throws away what its stream still has when a run
   * fails, but waits for its saver before: it is asked where a task has failed, and at the last step that is allowed.
   */
  caughtUp?(): Promise<void>;
  /** Supersteps that the graph may make; LangGraph's recursion_limit. */
  readonly stepsMax?: number | undefined;
}

export class LangGraphSaver extends BaseCheckpointSaver {
  readonly #storage: CheckpointStorage;
  readonly #queue: CheckpointQueue;
  readonly #options: SaverOptions;
  readonly #values = new ChannelValues();
  #firstStep: number | undefined;
  /** null: the thread has none. */
  #latest: CheckpointTuple | null | undefined;

  constructor(storage: CheckpointStorage, queue: CheckpointQueue, options: SaverOptions) {
    super();
    this.#storage = storage;
    this.#queue = queue;
    this.#options = options;
    if (options.freshThread === true) this.#latest = null;
  }

  override async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const { threadId, ns, id } = keysOf(config);
    if (threadId === undefined) return undefined;
    const cacheable = ns === '' && threadId === this.#queue.writer.threadId;
    if (cacheable && this.#latest === null && id === undefined) return undefined;
    if (cacheable && this.#latest && (id === undefined || id === this.#latest.checkpoint.id))
      return copyTuple(this.#latest);
    if (this.#queue.pending) await this.#queue.flush();
    const stored = await this.#storage.read(threadId, ns, id);
    if (stored === undefined) {
      if (cacheable && id === undefined) this.#latest = null;
      return undefined;
    }
    if (threadId === this.#queue.writer.threadId) this.#values.seen(stored);
    const tuple = await this.#tupleOf(stored);
    if (cacheable && id === undefined) this.#latest = copyTuple(tuple);
    return tuple;
  }

  override async *list(
    config: RunnableConfig,
    options: CheckpointListOptions = {},
  ): AsyncGenerator<CheckpointTuple> {
    if (this.#queue.pending) await this.#queue.flush();
    const { threadId, id } = keysOf(config);
    const stored = await this.#storage.list({
      threadId,
      // Unlike getTuple, an absent namespace means all of them.
      ns: config.configurable?.['checkpoint_ns'] as string | undefined,
      id,
      beforeId: options.before === undefined ? undefined : keysOf(options.before).id,
      metadata: options.filter,
      limit: options.limit,
    });
    for (const checkpoint of stored) yield await this.#tupleOf(checkpoint);
  }

  override async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const { threadId, ns, id: parentId } = keysOf(config);
    this.#assertOwn(threadId);
    const { v, ts, channel_values, channel_versions, versions_seen } = checkpoint;
    const head = { v, ts, channel_versions, versions_seen };
    const placement = this.#values.plan({ ns, parentId, head }, channel_values, newVersions);
    // The calls happen now and only their results are awaited: the graph may change its values later.
    const encoded = await Promise.all(
      placement.unknown.map(
        async (channel) => [channel, await this.#encode(channel_values[channel])] as const,
      ),
    );
    const full = { ...this.#options.metadata, ...metadata } as CheckpointMetadata;
    this.#queue.put({
      ns,
      id: checkpoint.id,
      parentId: parentId ?? null,
      head,
      metadata: full,
      ...placement.place(new Map(encoded)),
    });
    const saved = configOf(threadId, ns, checkpoint.id);
    if (ns === '')
      this.#latest = {
        config: saved,
        checkpoint,
        metadata: full,
        pendingWrites: [],
        ...(parentId === undefined ? {} : { parentConfig: configOf(threadId, ns, parentId) }),
      };
    if (this.#options.durability !== 'async') await this.#settle();
    const held = this.#options.hold?.();
    if (held !== undefined) await held;
    if (ns === '') {
      const { step } = metadata;
      this.#firstStep ??= step;
      if (step - this.#firstStep >= (this.#options.stepsMax ?? STEPS_MAX) - 1)
        await this.#options.caughtUp?.();
    }
    const room = this.#queue.drained();
    if (room !== undefined) await room;
    return saved;
  }

  override async putWrites(
    config: RunnableConfig,
    writes: PendingWrite[],
    taskId: string,
  ): Promise<void> {
    const { threadId, ns, id } = keysOf(config);
    this.#assertOwn(threadId);
    if (id === undefined)
      throw new CheckpointConfigError('configurable.checkpoint_id: expected for writes of a task');
    const encoded = await Promise.all(
      writes.map(async ([channel, value], index) => ({
        channel,
        idx: SPECIAL_INDEX[channel] ?? index,
        ...(await this.#encode(value)),
      })),
    );
    for (const write of encoded) this.#queue.putWrite({ ns, checkpointId: id, taskId, ...write });
    if (ns === '' && this.#latest?.checkpoint.id === id)
      this.#latest.pendingWrites = mergeWrites(this.#latest.pendingWrites ?? [], writes, taskId);
    if (this.#options.durability !== 'async') await this.#settle();
    if (writes.some(([channel]) => channel === ERROR)) await this.#options.caughtUp?.();
  }

  override async deleteThread(threadId: string): Promise<void> {
    await this.#queue.flush();
    if (threadId === this.#queue.writer.threadId) this.#queue.forget();
    this.#latest = undefined;
    await this.#storage.use((db) => deleteThreadCheckpoints(db, threadId));
  }

  /**
   * A version is never given out twice: its fraction is random. Runs that fork from the same checkpoint
   * would otherwise give the same version to different values, of which the storage keeps one.
   */
  override getNextVersion(current: number | undefined): number {
    return Math.floor(current ?? 0) + 1 + Math.random() / 2;
  }

  async #settle(): Promise<void> {
    const flushed = this.#queue.flush();
    await (this.#options.durability === 'each' ? flushed : flushed.catch(() => undefined));
  }

  #assertOwn(threadId: string | undefined): asserts threadId is string {
    if (threadId === undefined)
      throw new CheckpointConfigError('configurable.thread_id: expected for a checkpoint');
    if (threadId !== this.#queue.writer.threadId)
      throw new CheckpointConfigError(
        `configurable.thread_id: this run writes thread ${this.#queue.writer.threadId}, not ${threadId}`,
      );
  }

  async #encode(value: unknown): Promise<Encoded> {
    const [type, bytes] = await this.serde.dumpsTyped(value);
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return { type, data: buffer.toString(type === 'bytes' ? 'base64' : 'utf8') };
  }

  async #decode(type: string, data: string): Promise<unknown> {
    if (type === 'bytes') return new Uint8Array(Buffer.from(data, 'base64'));
    // Only values with an "lc" record need reviving, which walks them asynchronously.
    if (type === 'json' && !data.includes('"lc":')) return JSON.parse(data);
    return this.serde.loadsTyped(type, data);
  }

  async #tupleOf(stored: StoredCheckpoint): Promise<CheckpointTuple> {
    const [values, pendingWrites] = await Promise.all([
      Promise.all(
        valuesOf(stored).map(async ([channel, type, data]) => [
          channel,
          await this.#decode(type, data),
        ]),
      ),
      Promise.all(
        stored.writes.map(async ([task, channel, type, data]): Promise<CheckpointPendingWrite> => [
          task,
          channel,
          await this.#decode(type, data),
        ]),
      ),
    ]);
    const checkpoint: Checkpoint = {
      ...stored.head,
      id: stored.id,
      channel_values: Object.fromEntries(values) as Record<string, unknown>,
    };
    if (stored.head.v < SENDS_ARE_A_CHANNEL_SINCE && stored.parentId !== null)
      await this.#moveSends(checkpoint, stored.threadId, stored.ns, stored.parentId);
    return {
      config: configOf(stored.threadId, stored.ns, stored.id),
      checkpoint,
      metadata: stored.metadata as CheckpointMetadata,
      pendingWrites,
      ...(stored.parentId === null
        ? {}
        : { parentConfig: configOf(stored.threadId, stored.ns, stored.parentId) }),
    };
  }

  /** An old checkpoint, imported from elsewhere, has its sends among its parent's writes. */
  async #moveSends(
    checkpoint: Checkpoint,
    threadId: string,
    ns: string,
    parentId: string,
  ): Promise<void> {
    const parent = await this.#storage.read(threadId, ns, parentId);
    const sends = (parent?.writes ?? []).filter(([, channel]) => channel === TASKS);
    checkpoint.channel_values[TASKS] = await Promise.all(
      sends.map(([, , type, data]) => this.#decode(type, data)),
    );
    const versions = Object.values(checkpoint.channel_versions).map(Number);
    checkpoint.channel_versions = {
      ...checkpoint.channel_versions,
      [TASKS]: versions.length > 0 ? Math.max(...versions) : this.getNextVersion(undefined),
    };
  }
}

function keysOf(config: RunnableConfig): {
  threadId: string | undefined;
  ns: string;
  id: string | undefined;
} {
  const configurable = (config.configurable ?? {}) as Record<string, string | undefined>;
  return {
    threadId: configurable['thread_id'],
    ns: configurable['checkpoint_ns'] ?? '',
    // Both an absent and an empty id mean the latest.
    id: configurable['checkpoint_id'] === '' ? undefined : configurable['checkpoint_id'],
  };
}

function configOf(threadId: string, ns: string, id: string): RunnableConfig {
  return { configurable: { thread_id: threadId, checkpoint_ns: ns, checkpoint_id: id } };
}

function copyTuple(tuple: CheckpointTuple): CheckpointTuple {
  return {
    ...tuple,
    checkpoint: copyCheckpoint(tuple.checkpoint),
    pendingWrites: [...(tuple.pendingWrites ?? [])],
  };
}
