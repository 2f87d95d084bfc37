/**
 * From a RunCreate body to the run that is stored: assistant, thread and request merged, in this order.
 * One statement reads both rows; the run itself is the next one.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { AssistantNotFoundError, assistantIdOf } from '../assistants/assistant.ts';
import { newId } from '../ids.ts';
import type { Db } from '../postgres/pool.ts';
import type { NewRun } from '../runs/create.ts';
import type { RunKwargs } from '../runs/run.ts';
import { activeTraceparent } from '../telemetry/tracing.ts';
import type { RunCreate } from './schemas/run.ts';

/** Credentials for the server, not for the graph. */
const SECRET_HEADERS = new Set(['x-api-key', 'x-tenant-id', 'x-service-key']);
/** Of one run, and not to be found again in the next run's configuration. */
const OF_ONE_RUN = ['checkpoint_id', 'checkpoint_ns', 'checkpoint_map', 'run_id', 'thread_id'];

type Fields = Record<string, unknown>;
interface StoredConfig {
  tags?: string[];
  recursion_limit?: number;
  configurable?: Fields;
  metadata?: Fields;
}

interface Parties {
  assistant_id: string | null;
  graph_id: string | null;
  assistant_config: StoredConfig | null;
  assistant_context: Fields | null;
  assistant_metadata: Fields | null;
  thread_config: StoredConfig | null;
  thread_metadata: Fields | null;
}

const PARTIES = `
  SELECT a.assistant_id, a.graph_id, a.config AS assistant_config, a.context AS assistant_context,
    a.metadata AS assistant_metadata, t.config AS thread_config, t.metadata AS thread_metadata
  FROM (SELECT 1) AS one
  LEFT JOIN assistants a ON a.assistant_id = $1
  LEFT JOIN threads t ON t.thread_id = $2`;

/**
 * @param threadId undefined: a stateless run, on a thread of its own
 * @throws {AssistantNotFoundError}
 */
export async function newRunOf(
  db: Db,
  body: RunCreate,
  threadId: string | undefined,
  headers: IncomingHttpHeaders,
): Promise<NewRun> {
  const { rows } = await db.query<Parties>({
    name: 'run-parties',
    text: PARTIES,
    values: [assistantIdOf(body.assistant_id), threadId],
  });
  const parties = rows[0];
  const { assistant_id: assistantId, graph_id: graphId } = parties ?? {};
  if (parties === undefined || assistantId == null || graphId == null)
    throw new AssistantNotFoundError(
      `No assistant found for "${body.assistant_id}". Make sure the assistant ID is for a valid assistant or a valid graph ID.`,
    );

  const runId = newId();
  const ids = {
    run_id: runId,
    thread_id: threadId ?? newId(),
    graph_id: graphId,
    assistant_id: assistantId,
  };
  const metadata = {
    ...parties.assistant_metadata,
    ...parties.thread_metadata,
    ...body.metadata,
  };
  const threadConfig = mergeConfigs(
    [parties.assistant_config ?? {}, parties.thread_config ?? {}, given(body)],
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
      config: configOf(body, threadConfig, { ids, metadata, headers }),
    }),
    metadata,
    multitaskStrategy: body.multitask_strategy ?? 'enqueue',
    afterSeconds: body.after_seconds ?? 0,
    createThread: createThread(body, threadId),
    threadConfig,
    threadMetadata: { graph_id: graphId, assistant_id: assistantId },
  };
}

function createThread(body: RunCreate, threadId: string | undefined): NewRun['createThread'] {
  if (threadId !== undefined) return body.if_not_exists === 'create' ? 'visible' : 'no';
  return body.on_completion === 'keep' ? 'visible' : 'hidden';
}

/** The request's configuration as the thread remembers it. */
function given({ config }: RunCreate): StoredConfig {
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
