/**
 * The environment, read once and checked: the only reader of process.env. An error names the variable,
 * what was expected and what was found, all of them at once.
 */
import { hostname } from 'node:os';
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { CONTRACT_PRESETS } from './compat/names.ts';
import type { ContractPreset } from './compat/names.ts';
import { AppError } from './errors.ts';
import { QUEUE_BACKENDS } from './queue/port.ts';
import type { QueueBackend } from './queue/port.ts';
import { QUEUE_TAGS_MAX } from './queue/tags.ts';
import { KEY_PATH } from './runs/fairness.ts';
import { parseRedisAddress, REDIS_URL_EXPECTED } from './redis/address.ts';
import { redactUrl } from './telemetry/redact.ts';

export class ConfigInvalidError extends AppError {
  readonly code = 'config_invalid';
}

/** A time that is compared; what becomes a timer is `timerSeconds`. */
const seconds = (fallback: number, min = 0.05): z.ZodType<number> =>
  z.coerce
    .number()
    .min(min)
    .max(86_400 * 30)
    .default(fallback);
/** Node's timers hold 2^31 - 1 ms, 24.8 days; a longer one fires at once. What is left is for what the program adds. */
const TIMER_SECS_MAX = 86_400 * 24;
const timerSeconds = (fallback: number, min = 0.05): z.ZodType<number> =>
  z.coerce
    .number()
    .min(min)
    .max(TIMER_SECS_MAX, `expected at most ${TIMER_SECS_MAX} (24 days): timers hold no more`)
    .default(fallback);
/** A batch of the writer (BATCH_EVENTS_MAX): what is larger than the budget would wait for ever. */
const LOG_UNARCHIVED_MIN = 1_000;
const count = (fallback: number, min = 1, max = 10_000): z.ZodType<number> =>
  z.coerce.number().int().min(min).max(max).default(fallback);
const flag = (fallback: boolean): z.ZodType<boolean> => z.stringbool().default(fallback);
const url = (...protocols: string[]): z.ZodType<string> =>
  z.string().refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), {
    message: `expected a URL that begins with ${protocols.map((p) => `${p}//`).join(' or ')}`,
  });

const redisPrefix = z
  .string()
  .regex(
    /^[A-Za-z0-9_:{}.-]{1,64}$/,
    'expected up to 64 characters A-Z, a-z, 0-9, _, :, {, }, . and -',
  );

/** undefined for what is no JSON: the schema says what was expected. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const Environment = z.object({
  /** Unset: Postgres from npm is started in DATA_DIR. */
  DATABASE_URL: url('postgres:', 'postgresql:').optional(),
  /** A connection that bypasses a pooler, for LISTEN. */
  DATABASE_DIRECT_URL: url('postgres:', 'postgresql:').optional(),
  /** Prepared statements. Unset: true without DATABASE_DIRECT_URL; with it DATABASE_URL is a pooler that may not know them. */
  DATABASE_PREPARE: z.stringbool().optional(),
  DATABASE_POOL_SIZE: count(20, 2, 1_000),
  /** Unset: the direct path. */
  REDIS_URL: z
    .string()
    .refine((text) => parseRedisAddress(text) !== undefined, { message: REDIS_URL_EXPECTED })
    .optional(),
  /** Hash tags that logs are spread over: each is in one slot of a cluster. Unset: 8 in a cluster, else 1. */
  REDIS_LOG_SHARDS: z.coerce.number().int().min(1).max(256).optional(),
  /** Hash tags that the run queue (BullMQ) is spread over. Unset: 4 in a cluster, else 1. */
  REDIS_QUEUE_TAGS: z.coerce.number().int().min(1).max(QUEUE_TAGS_MAX).optional(),
  STREAMING_BACKEND: z.enum(['redis', 'memory']).optional(),
  /** Default: bullmq with Redis, memory without. */
  QUEUE_BACKEND: z.enum(QUEUE_BACKENDS).optional(),
  /**
   * The second document's variable. A checkpoint is written under the fence of its run's term, the last ones in the transaction
   * that ends it; @langchain/langgraph-checkpoint-redis can do neither (docs/contract.md says what else), so it is refused by name.
   */
  CHECKPOINTER_TYPE: z
    .literal('postgres', {
      message:
        'expected postgres: with @langchain/langgraph-checkpoint-redis checkpoints would not be fenced, and could not be rolled back, pruned or copied, whatever modules Redis has (docs/contract.md, "Checkpoints in Redis"). Leave it unset, or run the graph on LangGraph with RedisSaver outside of Millrace',
    })
    .default('postgres'),
  /** false, the strict mode: no event is ever stored in Redis; live ones are told by PubSub, Postgres has them all. */
  EVENTS_IN_REDIS: flag(true),
  /** Whether a process starts when Redis does not answer. Default: yes, but in production (NODE_ENV) no. */
  START_WITHOUT_REDIS: z.stringbool().optional(),
  /** Whose documented names are kept (src/compat/names.ts), and prefixes in place of the preset's. */
  CONTRACT_NAMES: z.enum(Object.keys(CONTRACT_PRESETS) as [ContractPreset]).default('millrace'),
  CONTRACT_PREFIX: redisPrefix.optional(),
  CONTRACT_RUN_PREFIX: redisPrefix.optional(),
  /** Beside another queue: keep the documented wake-up list, at most so many elements. Default: with CONTRACT_NAMES=aegra. */
  CONTRACT_WAKE_LIST: z.stringbool().optional(),
  CONTRACT_WAKE_LIST_MAX: count(10_000, 1, 1_000_000),
  /** Subscribe to the documented channel of each streamed run, so that PUBSUB CHANNELS lists them. Default: with CONTRACT_NAMES=aegra. */
  CONTRACT_STREAM_CHANNELS: z.stringbool().optional(),
  KEY_PREFIX: z
    .string()
    .regex(
      /^[a-z][a-z0-9_]{0,30}$/,
      'expected up to 31 characters a-z, 0-9 and _, beginning with a letter',
    )
    .default('millrace'),
  HOST: z.string().min(1).default('127.0.0.1'),
  PORT: count(2024, 0, 65_535),
  ENABLE_WORKERS: flag(false),
  WORKER_ID: z.string().min(1).max(200).optional(),
  N_JOBS_PER_WORKER: count(10),
  /** Seconds between two renewals of a lease. */
  WORKER_HEARTBEAT_INTERVAL: timerSeconds(2),
  /** Seconds after which a worker that does not renew has lost its runs. */
  WORKER_HEARTBEAT_TTL: timerSeconds(6),
  /** Seconds that the event loop of a worker may stand still before its leases are let go. */
  WORKER_STALL_LIMIT: seconds(30),
  SWEEPER_INTERVAL: timerSeconds(1),
  /** Seconds after which a run that no worker takes ends as error; 0: it waits. */
  PENDING_TIMEOUT_SECS: seconds(0, 0),
  /** Whose turn it is (src/runs/fairness.ts): where a run's key is looked for. With auth, the first is who asks. */
  FAIR_KEY: z
    .string()
    .default('configurable.user_id,metadata.tenant_id,metadata.owner,assistant_id')
    .transform((text) => text.split(',').map((path) => path.trim()))
    .refine((paths) => paths.every((path) => KEY_PATH.test(path)), {
      message: 'expected assistant_id, metadata.<name> or configurable.<name>, separated by commas',
    }),
  /** JSON: runs of a key that may run at once, `*` for each key that is not named: `{"*": 20, "acme": 5}`. */
  FAIR_LIMITS: z
    .string()
    .default('{}')
    .transform(parseJson)
    .pipe(
      z.record(
        z.string(),
        z.number().int().min(1).max(1_000_000),
        'expected JSON: keys with their numbers of runs, {"*": 20, "acme": 5}',
      ),
    ),
  /** Seconds of waiting that one step of a run's priority is worth. */
  PRIORITY_STEP_SECS: seconds(60, 0),
  BG_JOB_TIMEOUT_SECS: timerSeconds(3_600),
  BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS: timerSeconds(180, 0),
  /** Seconds after which a worker that does not react to a cancel is fenced. */
  CANCEL_DEADLINE_SECS: seconds(5),
  /** Seconds that a temporary thread of a finished stateless run can still be read. */
  TEMPORARY_THREAD_TTL_SECS: seconds(300),
  /** Events of one thread that may wait in Redis for the archiver before its writer must wait. */
  LOG_UNARCHIVED_MAX: count(20_000, LOG_UNARCHIVED_MIN, 1_000_000),
  /** Signs webhooks: see src/webhooks/signature.ts. */
  WEBHOOK_SECRET: z.string().optional(),
  /** Internal addresses that webhooks may go to: `*`, host names, `*.example.org`, `10.0.0.0/8`, separated by commas. */
  WEBHOOK_ALLOW: z.string().default(''),
  /** Where a webhook that is a path leads to; unset: to the server that delivers it. */
  WEBHOOK_BASE_URL: url('http:', 'https:').optional(),
  /** Attempts under way per process. */
  WEBHOOK_CONCURRENCY: count(10, 1, 1_000),
  WEBHOOK_TIMEOUT_SECS: timerSeconds(10),
  WEBHOOK_MAX_ATTEMPTS: count(8, 1, 100),
  /** Seconds before the second attempt; each later one waits four times as long, at most an hour. */
  WEBHOOK_RETRY_SECS: seconds(5, 0.01),
  /** Any OpenAI-compatible endpoint, for the AI nodes of workflows. Unset: OpenAI's own. */
  OPENAI_BASE_URL: url('http:', 'https:').optional(),
  OPENAI_API_KEY: z.string().optional(),
  /** For AI nodes that name no model. */
  OPENAI_MODEL: z.string().optional(),
  /** Seconds until a model's first token, and between two of them. */
  MODEL_TIMEOUT_SECS: timerSeconds(60),
  /** Attempts after the first at a model that answers 429 or 5xx, with back-off. */
  MODEL_MAX_RETRIES: count(4, 0, 20),
  /** Begins the bus's channels in Redis: `agent:messages:{agent_id}`, `agent:messages:broadcast`. */
  BUS_CHANNEL_PREFIX: z
    .string()
    .regex(/^[\w:-]{1,100}$/, 'expected up to 100 letters, digits, "_", "-" and ":"')
    .default('agent:messages'),
  /** Seconds that a question between nodes waits for its answer. */
  BUS_ASK_TIMEOUT_SECS: timerSeconds(30),
  /** Seconds after which a process that answers a question and gives no sign of life has lost it. */
  BUS_LEASE_SECS: timerSeconds(5, 0.3),
  /** Questions between nodes that one worker answers at once; 0: none. */
  AGENT_SLOTS: count(10, 0),
  /** `smtp://user:password@host:587`, for email nodes. */
  SMTP_URL: url('smtp:', 'smtps:').optional(),
  SMTP_FROM: z.string().optional(),
  /** What the number of wanted workers is kept within (GET /metrics/workers). */
  WORKERS_MIN: count(1, 0),
  WORKERS_MAX: count(100),
  /** GET /ready is red when a run has waited for a worker for longer than this, in seconds. */
  READY_QUEUE_AGE_MAX_SECS: seconds(300),
  /** GET /ready is red with fewer workers alive; 0: workers do not matter. */
  READY_WORKERS_MIN: count(1, 0),
  /** A worker's port for /metrics, /ok and /ready; unset: none. It listens on HOST. */
  WORKER_METRICS_PORT: z.coerce.number().int().min(0).max(65_535).optional(),
  /** Who may see /ops. Without them: in development, from this machine. */
  OPS_USER: z.string().min(1).optional(),
  OPS_PASSWORD: z.string().min(8).optional(),
  /** false: jobs can be removed and added by hand at /ops. */
  OPS_READ_ONLY: flag(true),
  /** Where the bundles of `ui` are; unset: a server builds them when it starts. Set by `serve --processes` for its processes. */
  UI_BUNDLES_DIR: z.string().min(1).optional(),
  BODY_BYTES_MAX: count(32 * 1024 * 1024, 1_024, 1024 * 1024 * 1024),
  LANGGRAPH_CONFIG_PATH: z.string().default('langgraph.json'),
  /** JSON: configuration of the graphs' default assistants, `{"agent": {"configurable": {}, "context": {}}}`. */
  LANGGRAPH_CONFIG: z
    .string()
    .default('{}')
    .transform(parseJson)
    .pipe(
      z.record(
        z.string(),
        z.looseObject({
          configurable: z.record(z.string(), z.unknown()).optional(),
          context: z.record(z.string(), z.unknown()).optional(),
        }),
        'expected JSON: graph ids with their configuration',
      ),
    ),
  DATA_DIR: z.string().default('.millrace'),
  /** Where spans go, OTLP over HTTP: `http://collector:4318`. Unset: nowhere. */
  OTEL_EXPORTER_OTLP_ENDPOINT: url('http:', 'https:').optional(),
  OTEL_SERVICE_NAME: z.string().min(1).default('millrace'),
  LOG_LEVEL: z.enum(['error', 'warn', 'info', 'debug']).default('info'),
  LOG_FORMAT: z.enum(['json', 'text']).optional(),
  /** Runs are traced to, and feedback is asked for at, LangSmith: its key, where it is, and `false` to trace nothing. */
  LANGSMITH_API_KEY: z.string().optional(),
  LANGSMITH_ENDPOINT: url('http:', 'https:').default('https://api.smith.langchain.com'),
  LANGSMITH_TRACING: z.string().optional(),
  /** ms that the TypeScript of a graph may be looked at for its schemas. */
  LANGGRAPH_SCHEMA_RESOLVE_TIMEOUT_MS: count(30_000, 1, 600_000),
  /** `development` or `test`: POST /internal/truncate is there. */
  NODE_ENV: z.string().optional(),
});

export type Config = Readonly<
  Omit<
    z.infer<typeof Environment>,
    | 'WORKER_ID'
    | 'DATABASE_PREPARE'
    | 'QUEUE_BACKEND'
    | 'START_WITHOUT_REDIS'
    | 'CONTRACT_WAKE_LIST'
    | 'CONTRACT_STREAM_CHANNELS'
  > & {
    WORKER_ID: string;
    QUEUE_BACKEND: QueueBackend;
    START_WITHOUT_REDIS: boolean;
    CONTRACT_WAKE_LIST: boolean;
    CONTRACT_STREAM_CHANNELS: boolean;
    /** Whether this process runs for development or tests. */
    development: boolean;
    /** undefined: there is no LangSmith. */
    langSmith: { readonly apiKey: string; readonly url: string } | undefined;
    redis: boolean;
    /** WORKFLOW_SECRET_<NAME>, by NAME: all that workflow documents may refer to. */
    workflowSecrets: Readonly<Record<string, string>>;
    DATABASE_PREPARE: boolean;
  }
>;

/** @throws {ConfigInvalidError} naming each variable */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  // An empty variable is what compose files make of an unset one.
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = Environment.safeParse(given);
  if (!parsed.success) {
    const lines = parsed.error.issues.map((issue) => {
      const name = String(issue.path[0]);
      return `${name}: ${issue.message} (found ${JSON.stringify(redact(name, given[name]))})`;
    });
    throw new ConfigInvalidError(lines.join('; '), { cause: parsed.error });
  }
  const config = parsed.data;
  if (config.WORKER_HEARTBEAT_INTERVAL * 2 > config.WORKER_HEARTBEAT_TTL)
    throw new ConfigInvalidError(
      `WORKER_HEARTBEAT_TTL: expected at least twice WORKER_HEARTBEAT_INTERVAL (${config.WORKER_HEARTBEAT_INTERVAL} s), found ${config.WORKER_HEARTBEAT_TTL} s`,
    );
  if ((config.OPS_USER === undefined) !== (config.OPS_PASSWORD === undefined))
    throw new ConfigInvalidError(
      `${config.OPS_USER === undefined ? 'OPS_USER' : 'OPS_PASSWORD'}: expected a value, because the other of OPS_USER and OPS_PASSWORD has one`,
    );
  if (config.WORKERS_MIN > config.WORKERS_MAX)
    throw new ConfigInvalidError(
      `WORKERS_MIN: expected at most WORKERS_MAX (${config.WORKERS_MAX}), found ${config.WORKERS_MIN}`,
    );
  if (config.STREAMING_BACKEND === 'redis' && config.REDIS_URL === undefined)
    throw new ConfigInvalidError('REDIS_URL: expected a URL, because STREAMING_BACKEND is redis');
  const redis = config.REDIS_URL !== undefined && config.STREAMING_BACKEND !== 'memory';
  if (!redis && config.QUEUE_BACKEND !== undefined && config.QUEUE_BACKEND !== 'memory')
    throw new ConfigInvalidError(
      `QUEUE_BACKEND: expected memory without Redis (REDIS_URL unset, or STREAMING_BACKEND=memory), found ${config.QUEUE_BACKEND}`,
    );
  const aegra = config.CONTRACT_NAMES === 'aegra';
  return Object.freeze({
    ...config,
    QUEUE_BACKEND: config.QUEUE_BACKEND ?? (redis ? 'bullmq' : 'memory'),
    START_WITHOUT_REDIS: config.START_WITHOUT_REDIS ?? config.NODE_ENV !== 'production',
    CONTRACT_WAKE_LIST: config.CONTRACT_WAKE_LIST ?? aegra,
    CONTRACT_STREAM_CHANNELS: config.CONTRACT_STREAM_CHANNELS ?? aegra,
    WORKER_ID: config.WORKER_ID ?? `${hostname()}-${process.pid}-${randomBytes(3).toString('hex')}`,
    DATABASE_PREPARE: config.DATABASE_PREPARE ?? config.DATABASE_DIRECT_URL === undefined,
    // Named, not "anything but production": that would make a forgotten variable dangerous.
    development: config.NODE_ENV === 'development' || config.NODE_ENV === 'test',
    langSmith:
      config.LANGSMITH_API_KEY === undefined
        ? undefined
        : { apiKey: config.LANGSMITH_API_KEY, url: config.LANGSMITH_ENDPOINT },
    redis,
    workflowSecrets: secretsIn(given),
  });
}

const SECRET_PREFIX = 'WORKFLOW_SECRET_';
const secretsIn = (given: NodeJS.ProcessEnv): Record<string, string> =>
  Object.fromEntries(
    Object.entries(given)
      .filter(([name]) => name.startsWith(SECRET_PREFIX))
      .map(([name, value]) => [name.slice(SECRET_PREFIX.length), value ?? '']),
  );

/**
 * Puts variables of the project (langgraph.json, `env`) into the environment, where the graphs look for
 * them. What is set already wins.
 */
export function addToEnvironment(variables: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(variables)) process.env[name] ??= value;
}

function redact(name: string, value: unknown): unknown {
  if (/API_KEY|SECRET|PASSWORD/.test(name)) return '***';
  // What is no URL may have a password with anything in it.
  return name.endsWith('_URL') && typeof value === 'string'
    ? redactUrl(value.replace(/\/\/.*@/s, '//***@'))
    : value;
}
