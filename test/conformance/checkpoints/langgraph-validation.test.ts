/**
 * The official conformance suite for checkpoint savers, written for vitest but content with any runner
 * that has its globals (package.json overrides its vitest, which only its own CLI needs, with our jest).
 */
import { BaseCheckpointSaver } from '@langchain/langgraph';
import { deltaChannelHistoryTests, validate } from '@langchain/langgraph-checkpoint-validation';
import type {
  ChannelVersions,
  Checkpoint,
  CheckpointListOptions,
  CheckpointMetadata,
  CheckpointTuple,
  PendingWrite,
} from '@langchain/langgraph-checkpoint';
import type { RunnableConfig } from '@langchain/core/runnables';
import { v5 } from 'uuid';
import { CheckpointQueue } from '../../../src/checkpoints/queue.ts';
import { CheckpointStorage } from '../../../src/checkpoints/storage.ts';
import { LangGraphSaver } from '../../../src/graphs/langgraph/saver.ts';
import { isId } from '../../../src/ids.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';

// vitest's expect.soft goes on after a failure; failing at once tells as much.
Object.assign(expect, { soft: expect });

const ANY_NAMESPACE = '6ba7b811-9dad-11d1-80b4-00c04fd430c8';

/**
 * Ours is bound to one thread, which exists and has a uuid. The suite's threads are any strings and come
 * from nowhere: each gets a row and a saver of its own, and its name back in what is returned.
 */
class SaverOfAnyThread extends BaseCheckpointSaver {
  readonly #database: TestDatabase;
  readonly #names = new Map<string, string>();

  constructor(database: TestDatabase) {
    super();
    this.#database = database;
  }

  async #saver(config: RunnableConfig): Promise<[LangGraphSaver, RunnableConfig]> {
    const name = config.configurable?.['thread_id'] as string | undefined;
    const threadId = name === undefined || isId(name) ? name : v5(name, ANY_NAMESPACE);
    if (name !== undefined && threadId !== undefined) {
      this.#names.set(threadId, name);
      await this.#database.pool.query(
        'INSERT INTO threads (thread_id) VALUES ($1) ON CONFLICT DO NOTHING',
        [threadId],
      );
    }
    const storage = new CheckpointStorage(this.#database.pool);
    const writer = { threadId: threadId ?? '', runId: null, term: null };
    const saver = new LangGraphSaver(storage, new CheckpointQueue(storage, { writer }), {
      metadata: {},
      durability: 'each',
    });
    if (config.configurable === undefined) return [saver, config];
    return [saver, { ...config, configurable: { ...config.configurable, thread_id: threadId } }];
  }

  #named<T extends RunnableConfig>(config: T): T {
    const threadId = config.configurable?.['thread_id'] as string;
    const name = this.#names.get(threadId) ?? threadId;
    return { ...config, configurable: { ...config.configurable, thread_id: name } };
  }

  #namedTuple(tuple: CheckpointTuple): CheckpointTuple {
    const { parentConfig } = tuple;
    return {
      ...tuple,
      config: this.#named(tuple.config),
      ...(parentConfig === undefined ? {} : { parentConfig: this.#named(parentConfig) }),
    };
  }

  override async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const [saver, own] = await this.#saver(config);
    const tuple = await saver.getTuple(own);
    return tuple === undefined ? undefined : this.#namedTuple(tuple);
  }

  override async *list(
    config: RunnableConfig,
    options?: CheckpointListOptions,
  ): AsyncGenerator<CheckpointTuple> {
    const [saver, own] = await this.#saver(config);
    for await (const tuple of saver.list(own, options)) yield this.#namedTuple(tuple);
  }

  override async put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const [saver, own] = await this.#saver(config);
    return this.#named(await saver.put(own, checkpoint, metadata, newVersions));
  }

  override async putWrites(
    config: RunnableConfig,
    writes: PendingWrite[],
    taskId: string,
  ): Promise<void> {
    const [saver, own] = await this.#saver(config);
    await saver.putWrites(own, writes, taskId);
  }

  override async deleteThread(threadId: string): Promise<void> {
    const [saver, own] = await this.#saver({ configurable: { thread_id: threadId } });
    await saver.deleteThread(own.configurable?.['thread_id'] as string);
  }
}

let database: TestDatabase;

const initializer = {
  checkpointerName: 'millrace',
  beforeAll: async () => {
    database = await createTestDatabase();
  },
  afterAll: () => database.drop(),
  createCheckpointer: async () => {
    await database.pool.query(
      'TRUNCATE threads, checkpoints, checkpoint_blobs, checkpoint_writes CASCADE',
    );
    return new SaverOfAnyThread(database);
  },
};

validate(initializer);
deltaChannelHistoryTests(initializer);
