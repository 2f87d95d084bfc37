/**
 * The composition root: configuration → connections → services, in start order; they stop in reverse.
 * Everything is made here and handed on; nothing below looks for its dependencies itself.
 */
import { randomBytes } from 'node:crypto';
import { assistantIdOf } from './assistants/assistant.ts';
import { createProjectAuth } from './auth/project-auth.ts';
import type { Config } from './config.ts';
import { createBus } from './bus/bus.ts';
import { createBusChannels } from './bus/channels.ts';
import { createPubSubTransport } from './bus/pubsub.ts';
import { deleteExpiredMessages } from './bus/store.ts';
import { createContractCancels } from './compat/cancel.ts';
import { contractNames } from './compat/names.ts';
import { createStreamChannels } from './compat/stream-channels.ts';
import { CheckpointStorage } from './checkpoints/storage.ts';
import { deleteOldDeadLetters } from './consumer-groups/dead-letters.ts';
import { createDirectBackend } from './events/direct-backend.ts';
import { createRunEnds } from './events/ends.ts';
import { createLogHub } from './events/hub.ts';
import { createLiveTeller } from './events/live.ts';
import type { ReaderDeps } from './events/reader.ts';
import { createRedisBackend } from './events/redis-backend.ts';
import { loadConsumerFunctions } from './graphs/consumer-groups.ts';
import { readLangGraphJson } from './graphs/langgraph-json.ts';
import { createProjectStore } from './graphs/project-store.ts';
import { createGraphRegistry } from './graphs/registry.ts';
import type { GraphRegistryOptions } from './graphs/registry.ts';
import type { Service } from './lib/service.ts';
import { createArchiver } from './maintenance/archiver.ts';
import { createConsumerGroupSender } from './maintenance/consumer-group-sender.ts';
import { createCronScheduler } from './maintenance/cron-scheduler.ts';
import { createSweeper } from './maintenance/sweeper.ts';
import { createWebhookSender } from './maintenance/webhook-sender.ts';
import { createOpenAiProvider } from './models/openai.ts';
import { createScriptedProvider } from './models/scripted.ts';
import { migrateDirectly } from './postgres/migrate.ts';
import { createPool } from './postgres/pool.ts';
import { createMemorySignals, createPostgresSignals } from './postgres/signals.ts';
import { createQueueBoard } from './queue/board.ts';
import { createBullmqConsumer, createBullmqQueue } from './queue/bullmq.ts';
import { besideList, takeBeside } from './queue/beside-list.ts';
import type { BesideListOptions } from './queue/beside-list.ts';
import { createListConsumer, createListQueue } from './queue/list.ts';
import { createMemoryQueue } from './queue/memory.ts';
import type { RunConsumer, RunHandler, RunQueue } from './queue/port.ts';
import {
  connectBlocking,
  connectCommands,
  connectSubscriber,
  isReachable,
} from './redis/connect.ts';
import { isCluster } from './redis/address.ts';
import { createKeys } from './redis/keys.ts';
import { refuseEviction, RedisUnavailableError } from './redis/policy.ts';
import { createScripts } from './redis/scripts.ts';
import { cancelById } from './runs/submit.ts';
import type { SubmitDeps } from './runs/submit.ts';
import type { FairnessRules } from './runs/fairness.ts';
import { deleteGoneWorkers } from './runs/workers.ts';
import { cronRunsOf } from './server/cron-run.ts';
import type { Log } from './telemetry/log.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { createTell } from './telemetry/tell.ts';
import { createAddressGuard } from './webhooks/addresses.ts';
import { createAgentHost } from './workflows/agent-host.ts';
import { WORKFLOW_GRAPH } from './workflows/execution.ts';
import { WorkflowGraph } from './workflows/graph.ts';
import { createMailer } from './workflows/mail.ts';
import { createSecrets } from './workflows/secrets.ts';
import { createDocuments, deleteExpiredWorkflows } from './workflows/workflow.ts';
import { createWorker } from './worker/worker.ts';
import type { Worker } from './worker/worker.ts';
import { createLeaseKeeper } from './worker/lease-keeper.ts';

/** Enough to be spread over many nodes; each costs every process a connection. */
const CLUSTER_LOG_SHARDS = 8;
/** A queue needs less than logs do, and each tag costs every worker two connections. Four reach each of three equal masters. */
const CLUSTER_QUEUE_TAGS = 4;
/** At start, how long Redis may take before the process goes on without it. */
const REDIS_START_MS = 3_000;
/** Longer than any statement takes; what is not answered by then goes nowhere, and is tried again on another connection. */
const QUERY_LIMIT_MS = 60_000;

export type Core = Awaited<ReturnType<typeof createCore>>;

/** What every process has: connections, the log's ear, and the chores. */
// eslint-disable-next-line @typescript-eslint/explicit-module-boundary-types -- its parts are the type
export async function createCore(
  config: Config & { DATABASE_URL: string },
  log: Log,
  graphOptions: GraphRegistryOptions,
) {
  // Before anything is connected: it refuses a wrong setting.
  const guard = createAddressGuard(config.WEBHOOK_ALLOW);
  const project =
    graphOptions.file === undefined ? undefined : readLangGraphJson(graphOptions.file);
  // In workers as well: they fire crons. What cannot be asked who may do what does not start.
  const auth = await createProjectAuth(project?.auth, {
    development: config.development,
    warn: (text) => {
      log.warn(text);
    },
  });
  const consumerFunctions = await loadConsumerFunctions(project?.consumerGroups ?? []);
  const metrics = createMetrics();
  const tell = createTell(log, metrics);
  const onTrouble = tell.trouble;
  const onError =
    (what: string) =>
    (error: Error): void => {
      onTrouble(what, error);
    };

  const pool = createPool(
    {
      url: config.DATABASE_URL,
      connectionsMax: config.DATABASE_POOL_SIZE,
      name: 'millrace',
      prepare: config.DATABASE_PREPARE,
      queryLimitMs: QUERY_LIMIT_MS,
    },
    onError('postgres connection'),
  );
  const applied = await migrateDirectly(config, onError('postgres connection'));
  if (applied.length > 0) log.info('schema migrated', { applied });

  const redisUrl = config.redis ? config.REDIS_URL : undefined;
  const sharded = redisUrl !== undefined && isCluster(redisUrl);
  const keys = createKeys(
    config.KEY_PREFIX,
    config.REDIS_LOG_SHARDS ?? (sharded ? CLUSTER_LOG_SHARDS : 1),
  );
  const queueTagCount = config.REDIS_QUEUE_TAGS ?? (sharded ? CLUSTER_QUEUE_TAGS : 1);
  const redis =
    redisUrl === undefined
      ? undefined
      : {
          url: redisUrl,
          commands: connectCommands({ url: redisUrl, name: 'millrace' }, onError('redis')),
          subscriber: connectSubscriber(
            { url: redisUrl, name: 'millrace-subscriber' },
            onError('redis subscriber'),
          ),
          sharded,
          blocking: keys.dirtyStreams().map((stream) => ({
            stream,
            connection: connectBlocking(
              { url: redisUrl, name: 'millrace-archiver' },
              onError('redis archiver'),
            ),
          })),
        };
  if (redis !== undefined) {
    try {
      if (await isReachable(redis.commands, REDIS_START_MS)) await refuseEviction(redis.commands);
      else if (config.START_WITHOUT_REDIS)
        log.warn('Redis unavailable (fallback to memory): through Postgres until it answers');
      else
        throw new RedisUnavailableError(
          'REDIS_URL: Redis does not answer. Start it, or set START_WITHOUT_REDIS=true to begin without it',
        );
    } catch (error) {
      for (const connection of [
        redis.commands,
        redis.subscriber,
        ...redis.blocking.map((blocking) => blocking.connection),
      ])
        connection.disconnect();
      await pool.end();
      throw error;
    }
  }
  const scripts = redis && createScripts(redis.commands, sharded);

  const signals =
    config.STREAMING_BACKEND === 'memory'
      ? createMemorySignals()
      : createPostgresSignals(pool, {
          url: config.DATABASE_DIRECT_URL ?? config.DATABASE_URL,
          prefix: config.KEY_PREFIX,
          onError: onError('listen'),
        });
  const names = contractNames({
    preset: config.CONTRACT_NAMES,
    keyPrefix: config.KEY_PREFIX,
    prefix: config.CONTRACT_PREFIX,
    runPrefix: config.CONTRACT_RUN_PREFIX,
  });
  const contractChannel = (runId: string): string => names.events(runId);
  const memoryQueue = createMemoryQueue(signals);
  const beside: BesideListOptions | undefined =
    redis !== undefined && config.QUEUE_BACKEND === 'bullmq' && config.CONTRACT_WAKE_LIST
      ? {
          redis: redis.commands,
          list: names.wakeList,
          lengthMax: config.CONTRACT_WAKE_LIST_MAX,
          onTrouble,
        }
      : undefined;
  const queue = createQueue();
  function createQueue(): RunQueue {
    if (redis === undefined || scripts === undefined || config.QUEUE_BACKEND === 'memory')
      return memoryQueue;
    if (config.QUEUE_BACKEND === 'list')
      return createListQueue({
        redis: redis.commands,
        scripts,
        list: names.wakeList,
        onTrouble,
        onRefused: () => {
          signals.publish('queue', '');
        },
      });
    const bullmq = createBullmqQueue({
      redisUrl: redis.url,
      prefix: config.KEY_PREFIX,
      tagCount: queueTagCount,
      onTrouble,
      onRefused: (runs) => {
        memoryQueue.wake(runs);
      },
    });
    return beside === undefined ? bullmq : besideList(bullmq, beside);
  }

  const board =
    redisUrl === undefined
      ? undefined
      : createQueueBoard({
          redisUrl,
          prefix: config.KEY_PREFIX,
          tagCount: queueTagCount,
          onTrouble,
        });

  const ends = createRunEnds({ db: pool, signals, onTrouble });
  const hub = createLogHub({ db: pool, signals, ends, keys, redis, onTrouble });
  const reader: ReaderDeps = {
    db: pool,
    keys,
    redis: redis?.commands,
    hub,
    ends,
    onTrouble,
    onRewind: tell.readerRewound,
  };
  const redisLog =
    redis === undefined || scripts === undefined || !config.EVENTS_IN_REDIS
      ? undefined
      : createRedisBackend({
          redis: redis.commands,
          keys,
          scripts,
          unarchivedMax: config.LOG_UNARCHIVED_MAX,
          contractChannel,
        });
  const live =
    redis === undefined || scripts === undefined || config.EVENTS_IN_REDIS
      ? undefined
      : createLiveTeller({ redis: redis.commands, keys, scripts, contractChannel, onTrouble });
  const directLog = createDirectBackend({ db: pool, signals, live });

  const store = createProjectStore(pool, project?.store);
  const busTransport = createPubSubTransport({
    db: pool,
    signals,
    redis,
    channels: createBusChannels(config.BUS_CHANNEL_PREFIX),
    leaseMs: config.BUS_LEASE_SECS * 1_000,
    onTrouble,
  });
  const bus = createBus(busTransport, { onTrouble });
  const documents = createDocuments(pool);
  const workflowDeps = {
    models: {
      openai: createOpenAiProvider({
        baseUrl: config.OPENAI_BASE_URL,
        apiKey: config.OPENAI_API_KEY,
        model: config.OPENAI_MODEL,
        timeoutMs: config.MODEL_TIMEOUT_SECS * 1_000,
        retries: config.MODEL_MAX_RETRIES,
      }),
      scripted: createScriptedProvider(),
    },
    guard,
    mailer: createMailer({ url: config.SMTP_URL, from: config.SMTP_FROM }),
    secrets: createSecrets(config.workflowSecrets),
    askTimeoutMs: config.BUS_ASK_TIMEOUT_SECS * 1_000,
    log,
    pubsub: bus,
    documents,
    onTrouble,
  };
  const graphs = createGraphRegistry(
    {
      checkpoints: new CheckpointStorage(pool),
      store,
      langSmith: config.langSmith !== undefined,
      schemas: { timeoutMs: config.LANGGRAPH_SCHEMA_RESOLVE_TIMEOUT_MS, onTrouble },
    },
    {
      ...graphOptions,
      hidden: {
        [WORKFLOW_GRAPH]: (dependencies) => new WorkflowGraph(workflowDeps, dependencies),
      },
    },
  );
  const fairness: FairnessRules = {
    keys: config.FAIR_KEY,
    limits: config.FAIR_LIMITS,
    stepSecs: config.PRIORITY_STEP_SECS,
  };
  const contract =
    redis === undefined
      ? undefined
      : createContractCancels({
          names,
          commands: redis.commands,
          subscriber: redis.subscriber,
          async cancel(runId, action) {
            await cancelById(submit, runId, action);
          },
          onTrouble,
        });
  const submit: SubmitDeps = {
    pool,
    queue,
    signals,
    keys,
    scripts,
    fairness,
    contract,
    onTrouble,
  };
  const claimer = { workerId: config.WORKER_ID, leaseMs: config.WORKER_HEARTBEAT_TTL * 1_000 };
  const webhooks = createWebhookSender({
    pool,
    signals,
    tell,
    guard,
    secret: config.WEBHOOK_SECRET,
    baseUrl: config.WEBHOOK_BASE_URL,
    concurrency: config.WEBHOOK_CONCURRENCY,
    timeoutMs: config.WEBHOOK_TIMEOUT_SECS * 1_000,
    attemptsMax: config.WEBHOOK_MAX_ATTEMPTS,
    firstRetryMs: config.WEBHOOK_RETRY_SECS * 1_000,
    pollMs: config.SWEEPER_INTERVAL * 1_000,
    onTrouble,
  });
  const consumerGroups = createConsumerGroupSender({
    pool,
    signals,
    tell,
    guard,
    secret: config.WEBHOOK_SECRET,
    functions: consumerFunctions,
    declared: (project?.consumerGroups ?? []).map((spec) => ({
      name: spec.name,
      url: typeof spec.target === 'string' ? spec.target : null,
      source: 'project',
      thread_id: spec.threadId?.toLowerCase() ?? null,
      assistant_id: spec.assistantId === undefined ? null : assistantIdOf(spec.assistantId),
      event_types: spec.eventTypes === undefined ? null : [...spec.eventTypes],
      from: spec.from,
      batch_max: spec.batchMax,
    })),
    concurrency: config.WEBHOOK_CONCURRENCY,
    timeoutMs: config.WEBHOOK_TIMEOUT_SECS * 1_000,
    attemptsMax: config.WEBHOOK_MAX_ATTEMPTS,
    firstRetryMs: config.WEBHOOK_RETRY_SECS * 1_000,
    pollMs: config.SWEEPER_INTERVAL * 1_000,
    onTrouble,
  });
  const chores: Service[] = [
    webhooks,
    consumerGroups,
    createCronScheduler({
      submit,
      buildRun: cronRunsOf(auth),
      tell,
      pollMs: config.SWEEPER_INTERVAL * 1_000,
      onTrouble,
    }),
    createSweeper({
      pool,
      keys,
      scripts,
      redisLog,
      live,
      contractChannel,
      signals,
      queue,
      fairness,
      tell,
      claimer,
      onTrouble,
      intervalMs: config.SWEEPER_INTERVAL * 1_000,
      leaseMs: claimer.leaseMs,
      pendingTimeoutMs: config.PENDING_TIMEOUT_SECS * 1_000,
      cancelDeadlineMs: config.CANCEL_DEADLINE_SECS * 1_000,
      temporaryThreadTtlMs: config.TEMPORARY_THREAD_TTL_SECS * 1_000,
      expirers: [
        () => store.deleteExpired(),
        () => deleteExpiredMessages(pool),
        () => deleteExpiredWorkflows(pool),
        () => deleteGoneWorkers(pool),
        () => deleteOldDeadLetters(pool),
      ],
    }),
  ];
  // In the strict mode, too: what a process of another mode has left in Redis.
  if (redis !== undefined && scripts !== undefined)
    for (const { stream, connection } of redis.blocking)
      chores.push(
        createArchiver({
          db: pool,
          keys,
          stream,
          scripts,
          commands: redis.commands,
          blocking: connection,
          metrics,
          name: `${config.WORKER_ID}-${randomBytes(3).toString('hex')}`,
          onArchived: consumerGroups.wake,
          onTrouble,
        }),
      );

  const services: Service[] = [
    signals,
    ends,
    hub,
    busTransport,
    ...(contract === undefined ? [] : [contract]),
    ...chores,
  ];

  return {
    config,
    log,
    pool,
    keys,
    redis,
    scripts,
    signals,
    queue,
    queueTagCount,
    board,
    ends,
    hub,
    reader,
    graphs,
    busTransport,
    bus,
    documents,
    workflowDeps,
    store,
    http: project?.http,
    ui: project?.ui,
    auth,
    submit,
    metrics,
    tell,
    claimer,
    redisLog,
    directLog,
    live,
    names,
    contract,
    contractChannel,
    fairness,
    beside,
    streamChannels:
      redis !== undefined && config.CONTRACT_STREAM_CHANNELS
        ? createStreamChannels({ names, subscriber: redis.subscriber })
        : undefined,
    webhooks,
    consumerGroups,
    onTrouble,
    async start(): Promise<void> {
      for (const service of services) await service.start();
    },
    async stop(): Promise<void> {
      for (const service of services.toReversed()) await service.stop();
      await queue.stop();
      await board?.stop();
      redis?.commands.disconnect();
      redis?.subscriber.disconnect();
      for (const { connection } of redis?.blocking ?? []) connection.disconnect();
      await pool.end();
    },
  };
}

/** The part that executes runs. Stop it before the core. */
export function createWorkerOf(core: Core): Worker {
  const { config, redis } = core;
  const leases = createLeaseKeeper({
    databaseUrl: config.DATABASE_URL,
    prepare: config.DATABASE_PREPARE,
    redisUrl: redis?.url,
    contract: {
      heartbeatPrefix: core.names.heartbeatPrefix,
      attemptPrefix: core.names.attemptPrefix,
      cancelPrefix: core.names.cancelPrefix,
    },
    workerId: config.WORKER_ID,
    slots: config.N_JOBS_PER_WORKER,
    intervalMs: config.WORKER_HEARTBEAT_INTERVAL * 1_000,
    leaseMs: core.claimer.leaseMs,
    stallLimitMs: config.WORKER_STALL_LIMIT * 1_000,
    onNote: (runId, note) => core.contract?.receive(runId, note),
    onTrouble: core.onTrouble,
  });
  const host = createAgentHost({
    db: core.pool,
    transport: core.busTransport,
    bus: core.bus,
    documents: core.documents,
    models: core.workflowDeps.models,
    slots: config.AGENT_SLOTS,
  });
  const worker = createWorker({
    ...core,
    leases,
    langSmith: config.langSmith,
    slots: config.N_JOBS_PER_WORKER,
    graceMs: config.BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS * 1_000,
    timeoutMs: config.BG_JOB_TIMEOUT_SECS * 1_000,
    consumer:
      redis === undefined || config.QUEUE_BACKEND === 'memory'
        ? undefined
        : (handler) => createConsumer(core, redis, handler),
    wakeUpsWork: () => config.QUEUE_BACKEND !== 'memory' && redis?.commands.status === 'ready',
  });
  return {
    active: () => worker.active(),
    async start() {
      await host.start();
      await worker.start();
    },
    async stop() {
      await worker.stop();
      await host.stop();
    },
  };
}

function createConsumer(
  { config, names, beside, queueTagCount, onTrouble }: Core,
  redis: NonNullable<Core['redis']>,
  handler: RunHandler,
): RunConsumer {
  const concurrency = config.N_JOBS_PER_WORKER;
  if (config.QUEUE_BACKEND === 'list')
    return createListConsumer(
      {
        commands: redis.commands,
        connect: () =>
          connectBlocking({ url: redis.url, name: 'millrace-wake-list' }, (error) => {
            onTrouble('redis wake-up list', error);
          }),
        list: names.wakeList,
        concurrency,
        onTrouble,
        onGarbage: (shown) => {
          onTrouble('control message ignored', new Error(`wake-up list: ${JSON.stringify(shown)}`));
        },
      },
      handler,
    );
  return createBullmqConsumer(
    {
      redisUrl: redis.url,
      prefix: config.KEY_PREFIX,
      tagCount: queueTagCount,
      concurrency,
      onTrouble,
    },
    beside === undefined ? handler : takeBeside(handler, beside),
  );
}
