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
} from './common.ts';

export const ThreadPath = z.object({ thread_id: Id });
export const CheckpointPath = z.object({ thread_id: Id, checkpoint_id: Text.min(1) });

export const ThreadCreate = z.strictObject({
  thread_id: Id.nullish(),
  metadata: Searchable.nullish(),
  if_exists: z.enum(['raise', 'do_nothing']).nullish(),
});

export const ThreadPatch = z.strictObject({ metadata: Searchable });

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
});

export const ThreadCountBody = z.strictObject(Filter);

export const ThreadStreamQuery = z.object({ stream_mode: listOf(z.enum(THREAD_MODES)).optional() });

export const StateQueryString = z.object({ subgraphs: QueryFlag.default(false) });

/** As it comes in a ThreadState. */
const CheckpointRef = z.looseObject({
  checkpoint_id: Text.nullish(),
  checkpoint_ns: Text.nullish(),
  checkpoint_map: JsonObject.nullish(),
});

export const StateAtCheckpoint = z.strictObject({
  checkpoint: CheckpointRef,
  subgraphs: z.boolean().nullish(),
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
});
