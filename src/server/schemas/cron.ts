/** Bodies of crons (HTTP.md, 3.4). The run's fields are those of a run's body that mean something later on. */
import { z } from 'zod';
import { CRON_SORT_FIELDS, ON_RUN_COMPLETED } from '../../crons/cron.ts';
import { Id, Limit, Offset, Searchable, Text } from './common.ts';
import { RunCreate } from './run.ts';

const SCHEDULE_LENGTH_MAX = 200;

export const CronPath = z.object({ cron_id: Id });

/** ISO 8601; without an offset it is UTC, like the schedule. */
const EndTime = z.iso
  .datetime({ offset: true, local: true })
  .transform((text) => new Date(/(Z|[+-]\d\d:?\d\d)$/.test(text) ? text : `${text}Z`));

const When = {
  schedule: Text.min(1).max(SCHEDULE_LENGTH_MAX),
  timezone: Text.nullish(),
  end_time: EndTime.nullish(),
  enabled: z.boolean().nullish(),
  on_run_completed: z.enum(ON_RUN_COMPLETED).nullish(),
};

const { shape } = RunCreate;
const What = {
  input: shape.input,
  config: shape.config,
  context: shape.context,
  priority: shape.priority,
  webhook: shape.webhook,
  interrupt_before: shape.interrupt_before,
  interrupt_after: shape.interrupt_after,
  multitask_strategy: shape.multitask_strategy,
  stream_mode: shape.stream_mode,
  stream_subgraphs: shape.stream_subgraphs,
  stream_resumable: shape.stream_resumable,
  durability: shape.durability,
  checkpoint_during: shape.checkpoint_during,
};

export const CronCreate = z.strictObject({
  assistant_id: shape.assistant_id,
  metadata: Searchable.nullish(),
  ...When,
  ...What,
});

export const CronPatch = z.strictObject({
  metadata: Searchable.nullish(),
  ...When,
  schedule: When.schedule.optional(),
  ...What,
});

/** The part of a body that its runs are made of. */
export function payloadOf(body: z.output<typeof CronPatch>): Record<string, unknown> {
  const fields = Object.entries(body).filter(([key, value]) => key in What && value !== undefined);
  return Object.fromEntries(fields);
}

const Filter = {
  /** An assistant's id, or a graph's. */
  assistant_id: Text.nullish(),
  thread_id: Id.nullish(),
  enabled: z.boolean().nullish(),
  metadata: Searchable.nullish(),
};

export const CronSearchBody = z.strictObject({
  ...Filter,
  limit: Limit,
  offset: Offset,
  sort_by: z.enum(CRON_SORT_FIELDS).nullish(),
  sort_order: z.enum(['asc', 'desc']).nullish(),
  select: z.array(z.string()).nullish(),
});

export const CronCountBody = z.strictObject(Filter);
