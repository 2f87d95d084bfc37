/** Bodies, queries and paths of runs (HTTP.md, 3.3). Unknown fields are refused: what is not honoured is not taken. */
import { z } from 'zod';
import { STREAM_MODES } from '../../graphs/port.ts';
import { PRIORITY_MAX } from '../../runs/fairness.ts';
import { CANCEL_ACTIONS, MULTITASK_STRATEGIES, RUN_STATUSES } from '../../runs/run.ts';
import {
  Id,
  JsonObject,
  listOf,
  QueryFlag,
  QueryLimit,
  QueryOffset,
  Searchable,
  Text,
} from './common.ts';
import { CommandFields } from './command.ts';
import { WebhookUrl } from './webhook.ts';

/** A year. */
const AFTER_SECONDS_MAX = 366 * 86_400;
/** Runs of one batch. */
const BATCH_MAX = 1_000;
const RECURSION_LIMIT_MAX = 1_000_000;

const FEEDBACK_KEYS_MAX = 100;

/** With LangSmith: a project where the run is traced as well. */
export const LangSmithTracer = z.strictObject({
  project_name: z.string().nullish(),
  example_id: z.string().nullish(),
});

export const RunPath = z.object({ thread_id: Id, run_id: Id });
export const RunOnlyPath = z.object({ run_id: Id });

const Nodes = z.union([z.literal('*'), z.array(z.string())]);

/** Fields of a config that only mean something inside a client are let through and not kept. */
const RunConfig = z.looseObject({
  tags: z.array(z.string()).nullish(),
  recursion_limit: z.number().int().min(1).max(RECURSION_LIMIT_MAX).nullish(),
  configurable: JsonObject.nullish(),
  metadata: JsonObject.nullish(),
});

const Checkpoint = z.looseObject({
  checkpoint_id: z.string().nullish(),
  checkpoint_ns: z.string().nullish(),
  checkpoint_map: JsonObject.nullish(),
});

export const RunCreate = z.strictObject({
  assistant_id: Text.min(1),
  input: z.unknown().optional(),
  command: CommandFields.nullish(),
  config: RunConfig.nullish(),
  context: JsonObject.nullish(),
  metadata: Searchable.nullish(),
  checkpoint_id: z.string().nullish(),
  checkpoint: Checkpoint.nullish(),
  interrupt_before: Nodes.nullish(),
  interrupt_after: Nodes.nullish(),
  stream_mode: z.union([z.enum(STREAM_MODES), z.array(z.enum(STREAM_MODES))]).nullish(),
  stream_subgraphs: z.boolean().nullish(),
  stream_resumable: z.boolean().nullish(),
  multitask_strategy: z.enum(MULTITASK_STRATEGIES).nullish(),
  if_not_exists: z.enum(['create', 'reject']).nullish(),
  on_disconnect: z.enum(['cancel', 'continue']).nullish(),
  on_completion: z.enum(['delete', 'keep']).nullish(),
  after_seconds: z.number().min(0).max(AFTER_SECONDS_MAX).nullish(),
  /** Higher goes first, 0 when absent: a step is worth PRIORITY_STEP_SECS of waiting. */
  priority: z.number().int().min(-PRIORITY_MAX).max(PRIORITY_MAX).nullish(),
  webhook: WebhookUrl.nullish(),
  /** With LangSmith: the run's last event, `feedback`, has a URL for each. */
  feedback_keys: z.array(z.string().min(1)).max(FEEDBACK_KEYS_MAX).nullish(),
  langsmith_tracer: LangSmithTracer.nullish(),
  durability: z.enum(['sync', 'async', 'exit']).nullish(),
  checkpoint_during: z.boolean().nullish(),
});

export type RunCreate = z.output<typeof RunCreate>;

/** The JS SDK sends each run of a batch in camelCase, next to `assistant_id`. */
export const RunBatch = z.array(z.preprocess(inSnakeCase, RunCreate)).min(1).max(BATCH_MAX);

const FIELDS = Object.keys(RunCreate.shape);

function inSnakeCase(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const renamed = new Map<string, unknown>();
  for (const [key, field] of Object.entries(value)) {
    const snake = key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    renamed.set(FIELDS.includes(snake) ? snake : key, field);
  }
  return Object.fromEntries(renamed);
}

export const RunListQuery = z.object({
  limit: QueryLimit,
  offset: QueryOffset,
  status: z.enum(RUN_STATUSES).optional(),
  select: listOf(z.string()).optional(),
});

export const JoinQuery = z.object({
  cancel_on_disconnect: QueryFlag.default(false),
  // The Python SDK writes "none" as `stream_mode=`.
  stream_mode: z.preprocess(
    (value) => (value === '' ? undefined : value),
    listOf(z.enum(STREAM_MODES)).optional(),
  ),
});

export const CancelQuery = z.object({
  wait: QueryFlag.default(false),
  action: z.enum(CANCEL_ACTIONS).default('interrupt'),
});

export const CancelManyQuery = z.object({ action: z.enum(CANCEL_ACTIONS).default('interrupt') });

export const CancelMany = z.union([
  z.strictObject({ status: z.enum(['pending', 'running', 'all']) }),
  z.strictObject({ thread_id: Id, run_ids: z.array(Id).min(1).max(BATCH_MAX) }),
]);
