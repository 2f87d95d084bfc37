/** What answers look like. They are made from rows and never parsed; tests hold real answers against these. */
import { z } from 'zod';
import { ON_RUN_COMPLETED } from '../../crons/cron.ts';
import { DELIVERY_STATUSES } from '../../webhooks/deliveries.ts';
import { MULTITASK_STRATEGIES, RUN_STATUSES } from '../../runs/run.ts';
import { THREAD_STATUSES } from '../../threads/thread.ts';
import { DocumentEnvelope } from '../../workflows/document.ts';
import { CommunicationSchema, LogEntrySchema } from '../../workflows/state.ts';

const Time = z.iso.datetime();
const Uuid = z.guid();
const Fields = z.record(z.string(), z.unknown());

const version = {
  assistant_id: Uuid,
  graph_id: z.string(),
  name: z.string(),
  description: z.string().nullable(),
  version: z.number().int(),
  config: Fields,
  context: Fields,
  metadata: Fields,
  created_at: Time,
};

export const AssistantVersion = z.strictObject(version);
export const Assistant = z.strictObject({ ...version, updated_at: Time });

export const GraphDrawing = z.looseObject({
  nodes: z.array(Fields),
  edges: z.array(Fields),
});

export const GraphSchemas = z.strictObject({
  graph_id: z.string(),
  input_schema: Fields.nullable(),
  output_schema: Fields.nullable(),
  state_schema: Fields.nullable(),
  config_schema: Fields.nullable(),
  context_schema: Fields.nullable(),
});

export const Thread = z.looseObject({
  thread_id: Uuid,
  created_at: Time,
  updated_at: Time,
  metadata: Fields,
  status: z.enum(THREAD_STATUSES),
  config: Fields,
  values: z.unknown(),
  interrupts: z.record(z.string(), z.array(z.unknown())),
  error: z.unknown().optional(),
});

const CheckpointOfState = z.strictObject({
  thread_id: z.string(),
  checkpoint_ns: z.string(),
  checkpoint_id: z.string(),
  checkpoint_map: Fields.nullish(),
});

export const ThreadState = z.strictObject({
  values: z.unknown(),
  next: z.array(z.string()),
  tasks: z.array(Fields),
  metadata: Fields,
  created_at: z.string().nullable(),
  checkpoint: CheckpointOfState.nullable(),
  parent_checkpoint: CheckpointOfState.nullable(),
});

export const StateUpdated = z.strictObject({
  checkpoint: z.looseObject({ thread_id: z.string() }),
});

export const Run = z.strictObject({
  run_id: Uuid,
  thread_id: Uuid,
  assistant_id: Uuid,
  created_at: Time,
  updated_at: Time,
  status: z.enum(RUN_STATUSES),
  metadata: Fields,
  kwargs: Fields,
  multitask_strategy: z.enum(MULTITASK_STRATEGIES),
});

export const Cron = z.strictObject({
  cron_id: Uuid,
  assistant_id: Uuid,
  thread_id: Uuid.nullable(),
  user_id: z.string().nullable(),
  schedule: z.string(),
  timezone: z.string().nullable(),
  end_time: Time.nullable(),
  enabled: z.boolean(),
  on_run_completed: z.enum(ON_RUN_COMPLETED).nullable(),
  payload: Fields,
  metadata: Fields,
  next_run_date: Time.nullable(),
  created_at: Time,
  updated_at: Time,
});

export const Delivery = z.strictObject({
  delivery_id: Uuid,
  run_id: Uuid,
  thread_id: Uuid,
  url: z.string(),
  status: z.enum(DELIVERY_STATUSES),
  attempts: z.number().int(),
  next_attempt_at: Time.nullable(),
  response_status: z.number().int().nullable(),
  last_error: z.string().nullable(),
  created_at: Time,
  updated_at: Time,
  delivered_at: Time.nullable(),
});

export const ConsumerGroup = z.strictObject({
  group_id: Uuid,
  name: z.string(),
  url: z.string().nullable(),
  source: z.enum(['api', 'project']),
  thread_id: Uuid.nullable(),
  assistant_id: Uuid.nullable(),
  event_types: z.array(z.string()).nullable(),
  from: z.enum(['start', 'now']),
  batch_max: z.number().int(),
  created_at: Time,
  updated_at: Time,
});

export const DeadLetter = z.strictObject({
  dead_letter_id: Uuid,
  event_id: z.string(),
  thread_id: Uuid,
  seq: z.number().int(),
  term: z.number().int(),
  type: z.string(),
  data: z.unknown(),
  run_id: Uuid,
  status: z.enum(['dead', 'replaying']),
  attempts: z.number().int(),
  error: z.string(),
  created_at: Time,
  updated_at: Time,
});

export const StoreItem = z.strictObject({
  namespace: z.array(z.string()),
  key: z.string(),
  value: Fields,
  created_at: Time,
  updated_at: Time,
  score: z.number().optional(),
});

export const Workflow = z.looseObject({
  workflow_id: Uuid,
  version: z.number().int(),
  ...DocumentEnvelope.shape,
  created_at: Time,
  updated_at: Time,
});

export const WorkflowExecution = z.strictObject({
  execution_id: Uuid,
  workflow_id: Uuid,
  workflow_version: z.number().int(),
  thread_id: Uuid,
  status: z.enum(RUN_STATUSES),
  inputs: Fields,
  output: z.unknown(),
  outputs: Fields,
  communication: CommunicationSchema.nullable(),
  communication_log: z.array(LogEntrySchema),
  attempt: z.number().int(),
  error: z.strictObject({ error: z.string(), message: z.string() }).nullable(),
  created_at: Time,
  started_at: Time.nullable(),
  ended_at: Time.nullable(),
});

export const Count = z.number().int();
export const Anything = z.unknown();
