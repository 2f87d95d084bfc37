/** Bodies, queries and paths of threads and their state (HTTP.md, 3.2). */
import { z } from 'zod';
import { THREAD_STATUSES } from '../../threads/thread.ts';
import { THREAD_MODES } from '../v2/thread-modes.ts';
import {
  Id,
  JsonObject,
  Limit,
  LIMIT_MAX,
  listOf,
  Offset,
  QueryFlag,
  QueryLimit,
  Searchable,
  Text,
  ThreadMetadata,
} from './common.ts';

export const ThreadPath = z.object({ thread_id: Id });
export const CheckpointPath = z.object({ thread_id: Id, checkpoint_id: Text.min(1) });

/** Ten years. */
const TTL_MINUTES_MAX = 5_256_000;
const SUPERSTEPS_MAX = 1_000;
const UPDATES_MAX = 100;
const EXTRACT_MAX = 10;

const Minutes = z.number().positive().max(TTL_MINUTES_MAX);
/** Minutes after the last use. */
const Ttl = z.union([
  Minutes,
  z.strictObject({ ttl: Minutes, strategy: z.literal('delete').default('delete') }),
]);

export const ThreadCreate = z.strictObject({
  thread_id: Id.nullish(),
  metadata: ThreadMetadata.nullish(),
  if_exists: z.enum(['raise', 'do_nothing']).nullish(),
  ttl: Ttl.nullish(),
  /** States to begin with, as if nodes had made them; `metadata.graph_id` says whose. */
  supersteps: z
    .array(
      z.strictObject({
        updates: z
          .array(
            z.strictObject({
              values: z.unknown().optional(),
              command: z
                .strictObject({
                  resume: z.unknown().optional(),
                  update: z.unknown().optional(),
                  goto: z.unknown().optional(),
                })
                .nullish(),
              as_node: z.string().min(1),
            }),
          )
          .min(1)
          .max(UPDATES_MAX),
      }),
    )
    .max(SUPERSTEPS_MAX)
    .nullish(),
});

export const ThreadPatch = z
  .strictObject({ metadata: ThreadMetadata.optional(), ttl: Ttl.optional() })
  .refine(({ metadata, ttl }) => metadata !== undefined || ttl !== undefined, {
    message: 'expected metadata, ttl or both',
    path: ['metadata'],
  });

export const ThreadReadQuery = z.object({ include: listOf(z.literal('ttl')).optional() });

export const ThreadPruneBody = z.strictObject({
  thread_ids: z.array(Id).min(1).max(LIMIT_MAX),
  strategy: z.enum(['delete', 'keep_latest']).default('delete'),
});

export const StatePatchBody = z.strictObject({ metadata: ThreadMetadata });

const Filter = {
  metadata: Searchable.nullish(),
  values: Searchable.nullish(),
  status: z.enum(THREAD_STATUSES).nullish(),
  ids: z.array(Id).max(LIMIT_MAX).nullish(),
};

export const ThreadSearchBody = z.strictObject({
  ...Filter,
  limit: Limit,
  offset: Offset,
  sort_by: z.enum(['thread_id', 'status', 'created_at', 'updated_at']).nullish(),
  sort_order: z.enum(['asc', 'desc']).nullish(),
  select: z.array(z.string()).nullish(),
  /** alias → path, e.g. `values.messages[-1].content`; comes as `extracted` */
  extract: z
    .record(z.string(), z.string().min(1))
    .refine((paths) => Object.keys(paths).length <= EXTRACT_MAX, `expected at most ${EXTRACT_MAX}`)
    .nullish(),
});

export const ThreadCountBody = z.strictObject(Filter);

export const ThreadStreamQuery = z.object({ stream_mode: listOf(z.enum(THREAD_MODES)).optional() });

const STATE_FIELDS =
  /^(values(\..+)?|next|tasks|checkpoint|metadata|created_at|parent_checkpoint|interrupts)$/s;
const StateField = z
  .string()
  .regex(
    STATE_FIELDS,
    'expected values, values.<key>, next, tasks, checkpoint, metadata, created_at, parent_checkpoint or interrupts',
  );

export const StateQueryString = z.object({
  subgraphs: QueryFlag.default(false),
  select: listOf(StateField).optional(),
});

/** As it comes in a ThreadState. */
const CheckpointRef = z.looseObject({
  checkpoint_id: Text.nullish(),
  checkpoint_ns: Text.nullish(),
  checkpoint_map: JsonObject.nullish(),
});

export const StateAtCheckpoint = z.strictObject({
  checkpoint: CheckpointRef,
  subgraphs: z.boolean().nullish(),
  select: z.array(StateField).nullish(),
});

export const StateUpdateBody = z.strictObject({
  values: z.union([JsonObject, z.array(z.unknown()), z.null()]).optional(),
  as_node: Text.nullish(),
  checkpoint: CheckpointRef.nullish(),
  checkpoint_id: Text.nullish(),
});

export const HistoryQueryString = z.object({ limit: QueryLimit, before: Text.optional() });

export const HistoryBody = z.strictObject({
  limit: Limit,
  /** A checkpoint's id, a checkpoint, or a config that names one. */
  before: z.union([Text, JsonObject]).nullish(),
  metadata: Searchable.nullish(),
  checkpoint: CheckpointRef.nullish(),
  select: z.array(StateField).nullish(),
});
