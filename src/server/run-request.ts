/**
 * From a RunCreate body to the run that is stored: assistant, thread and request merged, in this order.
 * One statement reads both rows; the run itself is the next one. A run on a thread of its own, of an assistant that is
 * known, is built without a look.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { AssistantNotFoundError, assistantIdOf } from '../assistants/assistant.ts';
import type { Access } from '../auth/gate.ts';
import { isReservedGraph } from '../graphs/reserved.ts';
import { defaultAssistantId, newId } from '../ids.ts';
import type { Db } from '../postgres/pool.ts';
import { EVERYTHING, visibleSql } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';
import type { NewRun } from '../runs/create.ts';
import { USER_KEYS } from '../runs/run.ts';
import type { RunKwargs } from '../runs/run.ts';
import { activeTraceparent } from '../telemetry/tracing.ts';
import type { KnownAssistant, KnownAssistants, StoredConfig } from './known-assistants.ts';
import { tracerFields } from './langsmith-fields.ts';
import type { RunCreate } from './schemas/run.ts';

/** Credentials for the server, not for the graph. */
const SECRET_HEADERS = new Set(['x-api-key', 'x-tenant-id', 'x-service-key']);
/** Of one run, and not to be found again in the next run's configuration. */
const OF_ONE_RUN = [
  'checkpoint_id',
  'checkpoint_ns',
  'checkpoint_map',
  'run_id',
  'thread_id',
  'langsmith_project',
  'langsmith_example_id',
];

type Fields = Record<string, unknown>;
/** Of a run that may begin: null is what is not there. */
interface Parties extends Nullable<KnownAssistant> {
  thread_config: StoredConfig | null;
  thread_metadata: Fields | null;
}
type Nullable<T> = { [K in keyof T]: T[K] | null };

const PARTIES = `
  SELECT a.assistant_id, a.xmin::text AS version, a.graph_id, a.config AS assistant_config, a.context AS assistant_context,
    a.metadata AS assistant_metadata, t.config AS thread_config, t.metadata AS thread_metadata
  FROM (SELECT 1) AS one
  LEFT JOIN assistants a ON a.assistant_id = $1
  LEFT JOIN threads t ON t.thread_id = $2 AND ${visibleSql('t.metadata', '$3')}`;

/**
 * @param threadId undefined: a stateless run, on a thread of its own
 * @param access of who asks for the run
 * @param known undefined: the assistant is looked up
 * @throws {AssistantNotFoundError} also when the caller may not see it
 * @throws {AuthRefusedError | AuthFailedError}
 */
export async function newRunOf(
  db: Db,
  given: RunCreate,
  threadId: string | undefined,
  headers: IncomingHttpHeaders,
  access: Access,
  known?: KnownAssistants,
): Promise<NewRun> {
  const runId = newId();
  const { body, visible } = await permittedRun(access, given, threadId, runId);
  const ownThreadId = threadId ?? newId();
  const assistantId = assistantIdOf(body.assistant_id);
  const asked = { runId, ownThreadId, threadId, headers, access, visible };

  async function lookUp(on: Db): Promise<NewRun> {
    const { rows } = await on.query<Parties>({
      name: 'run-parties',
      text: PARTIES,
      values: [assistantId, threadId, visible.metadata],
    });
    const parties = rows[0];
    const assistant = parties && assistantOf(parties);
    if (assistant !== undefined) known?.learn(assistant);
    return buildRun(on, body, asked, parties);
  }

  // Only the statement that makes a hidden thread compares the version.
  const hidden = createThread(body, threadId) === 'hidden';
  const assistant = hidden ? known?.get(assistantId) : undefined;
  if (assistant === undefined) return lookUp(db);
  const ofVersion = {
    version: assistant.version,
    otherwise(on: Db): Promise<NewRun> {
      known?.forget(assistantId);
      return lookUp(on);
    },
  };
  return { ...(await buildRun(db, body, asked, { ...assistant, ...NO_THREAD })), ofVersion };
}

const NO_THREAD = { thread_config: null, thread_metadata: null };

/** @returns undefined when there is none */
function assistantOf({
  thread_config: _config,
  thread_metadata: _metadata,
  ...assistant
}: Parties): KnownAssistant | undefined {
  const { assistant_id: id, version, graph_id: graphId } = assistant;
  if (id === null || version === null || graphId === null) return undefined;
  return { ...assistant, assistant_id: id, version, graph_id: graphId };
}

async function buildRun(
  db: Db,
  body: RunCreate,
  of: {
    runId: string;
    ownThreadId: string;
    /** Of the request. */
    threadId: string | undefined;
    headers: IncomingHttpHeaders;
    access: Access;
    visible: Visibility;
  },
  parties: Parties | undefined,
): Promise<NewRun> {
  const { runId, threadId, headers, access, visible } = of;
  const { assistant_id: assistantId, graph_id: graphId } = parties ?? {};
  if (
    parties === undefined ||
    assistantId == null ||
    graphId == null ||
    isReservedGraph(graphId) ||
    !(await mayUseAssistant(db, assistantId, graphId, access))
  )
    throw new AssistantNotFoundError(
      `No assistant found for "${body.assistant_id}". Make sure the assistant ID is for a valid assistant or a valid graph ID.`,
    );

  const ids = {
    run_id: runId,
    thread_id: of.ownThreadId,
    graph_id: graphId,
    assistant_id: assistantId,
  };
  const metadata = {
    ...parties.assistant_metadata,
    ...parties.thread_metadata,
    ...body.metadata,
  };
  const threadConfig = mergeConfigs(
    [parties.assistant_config ?? {}, parties.thread_config ?? {}, configGiven(body)],
    {},
  );
  const keep = body.on_completion === 'keep';
  return {
    runId,
    threadId: ids.thread_id,
    assistantId,
    kwargs: kwargsOf(body, {
      temporary: threadId === undefined && !keep,
      context: { ...parties.assistant_context, ...body.context },
      config: configOf(body, threadConfig, {
        ids: { ...ids, ...userIdOf(access) },
        metadata,
        headers,
      }),
    }),
    metadata,
    multitaskStrategy: body.multitask_strategy ?? 'enqueue',
    afterSeconds: body.after_seconds ?? 0,
    priority: body.priority ?? 0,
    createThread: createThread(body, threadId),
    threadConfig,
    threadMetadata: { graph_id: graphId, assistant_id: assistantId },
    newThreadMetadata: body.metadata ?? {},
    visible,
    user: access.user ?? null,
  };
}

/**
 * Asks whether the caller may have this run. What the handler changes counts: metadata, which say whose the run is,
 * and what is executed.
 */
async function permittedRun(
  access: Access,
  given: RunCreate,
  threadId: string | undefined,
  runId: string,
): Promise<{ body: RunCreate; visible: Visibility }> {
  if (access.user === undefined) return { body: given, visible: EVERYTHING };
  const { input, command, context, webhook, interrupt_before, interrupt_after } = given;
  const config = withoutUser(given.config);
  const strategy = given.multitask_strategy ?? 'enqueue';
  const { visible, value } = await access.ask('threads:create_run', {
    thread_id: threadId,
    assistant_id: assistantIdOf(given.assistant_id),
    run_id: runId,
    status: 'pending',
    metadata: { ...given.metadata },
    prevent_insert_if_inflight: strategy === 'reject',
    multitask_strategy: strategy,
    if_not_exists: given.if_not_exists ?? 'reject',
    after_seconds: given.after_seconds ?? 0,
    priority: given.priority ?? 0,
    kwargs: { input, command, config, context, webhook, interrupt_before, interrupt_after },
  });
  const { kwargs, metadata } = value;
  return { body: { ...given, ...kwargs, config: withoutUser(kwargs.config), metadata }, visible };
}

/** Who the user is, the server says. */
function withoutUser(config: RunCreate['config']): RunCreate['config'] {
  if (config?.configurable == null) return config;
  const configurable = { ...config.configurable };
  for (const key of [...USER_KEYS, 'user_id']) Reflect.deleteProperty(configurable, key);
  return { ...config, configurable };
}

const userIdOf = ({ user }: Access): Fields =>
  user === undefined ? {} : { user_id: user.identity };

/** The default assistant of a graph is for everybody who may have a run at all; another only for who may read it. */
async function mayUseAssistant(
  db: Db,
  assistantId: string,
  graphId: string,
  access: Access,
): Promise<boolean> {
  if (access.user === undefined || assistantId === defaultAssistantId(graphId)) return true;
  const { visible } = await access.ask('assistants:read', { assistant_id: assistantId });
  if (visible.metadata === null) return true;
  const { rows } = await db.query(
    'SELECT 1 FROM assistants WHERE assistant_id = $1 AND metadata @> $2::jsonb',
    [assistantId, visible.metadata],
  );
  return rows.length === 1;
}

function createThread(body: RunCreate, threadId: string | undefined): NewRun['createThread'] {
  if (threadId !== undefined) return body.if_not_exists === 'create' ? 'visible' : 'no';
  return body.on_completion === 'keep' ? 'visible' : 'hidden';
}

/** The request's configuration as the thread remembers it. */
function configGiven({ config }: RunCreate): StoredConfig {
  const configurable = { ...config?.configurable };
  for (const key of OF_ONE_RUN) Reflect.deleteProperty(configurable, key);
  return {
    ...(config?.tags == null ? {} : { tags: config.tags }),
    ...(config?.recursion_limit == null ? {} : { recursion_limit: config.recursion_limit }),
    configurable,
  };
}

/** Later ones win; configurable key by key. */
function mergeConfigs(configs: readonly StoredConfig[], first: StoredConfig): StoredConfig {
  return configs.reduce(
    (merged, config) => ({
      ...merged,
      ...config,
      configurable: { ...merged.configurable, ...config.configurable },
    }),
    first,
  );
}

function configOf(
  body: RunCreate,
  threadConfig: StoredConfig,
  own: { ids: Fields; metadata: Fields; headers: IncomingHttpHeaders },
): RunKwargs['config'] {
  const { tags, recursion_limit: recursionLimit } = threadConfig;
  return {
    ...(tags === undefined ? {} : { tags }),
    ...(recursionLimit === undefined ? {} : { recursion_limit: recursionLimit }),
    configurable: {
      ...threadConfig.configurable,
      ...headerFields(own.headers),
      ...body.config?.configurable,
      ...checkpointOf(body),
      ...tracerFields(body),
      ...own.ids,
    },
    metadata: { ...own.metadata, ...body.config?.metadata },
  };
}

function checkpointOf({ checkpoint, checkpoint_id: checkpointId }: RunCreate): Fields {
  const fields: Fields = {
    checkpoint_id: checkpointId ?? checkpoint?.checkpoint_id,
    checkpoint_ns: checkpoint?.checkpoint_ns,
    checkpoint_map: checkpoint?.checkpoint_map,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null));
}

/** Every `x-…` header but the server's own credentials, and the user agent. */
function headerFields(headers: IncomingHttpHeaders): Fields {
  const fields: [string, unknown][] = [];
  for (const [name, value] of Object.entries(headers))
    if (name === 'user-agent' || (name.startsWith('x-') && !SECRET_HEADERS.has(name)))
      fields.push([name, Array.isArray(value) ? value.join(', ') : value]);
  return Object.fromEntries(fields);
}

function kwargsOf(
  body: RunCreate,
  made: Pick<RunKwargs, 'config' | 'context' | 'temporary'>,
): RunKwargs {
  const modes = body.stream_mode ?? [];
  const streamMode = Array.isArray(modes) ? modes : [modes];
  const { command } = body;
  const trace = activeTraceparent();
  return {
    ...(trace === undefined ? {} : { trace }),
    input: body.input ?? null,
    command: command == null ? null : withoutUndefined(command),
    stream_mode: streamMode.length === 0 ? ['values'] : streamMode,
    interrupt_before: body.interrupt_before ?? null,
    interrupt_after: body.interrupt_after ?? null,
    webhook: body.webhook ?? null,
    feedback_keys: body.feedback_keys ?? null,
    subgraphs: body.stream_subgraphs ?? false,
    resumable: body.stream_resumable ?? false,
    durability: body.durability ?? (body.checkpoint_during === false ? 'exit' : null),
    ...made,
  };
}

const withoutUndefined = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
