/** A checkpoint as it is put and read: values already encoded, small ones inside, large ones in rows of their own. */

/** A value in the form its serialiser made; `type` says how to read `data`. */
export interface Encoded {
  readonly type: string;
  readonly data: string;
}
export type Version = string | number;

export interface CheckpointHead {
  v: number;
  ts: string;
  channel_versions: Record<string, Version>;
  versions_seen: Record<string, Record<string, Version>>;
}

/** Values inside a checkpoint: channel → [type, data]. */
export type InlineValues = Record<string, readonly [type: string, data: string]>;

export interface CheckpointPut {
  readonly ns: string;
  readonly id: string;
  readonly parentId: string | null;
  readonly head: CheckpointHead;
  readonly metadata: Record<string, unknown>;
  /** Values that get a row of their own; those that have one already are left out. */
  readonly blobs: readonly (Encoded & { channel: string; version: Version })[];
  /** Small values, part of the checkpoint's row (see ChannelValues). */
  readonly inline?: InlineValues;
}

export interface WritePut extends Encoded {
  readonly ns: string;
  readonly checkpointId: string;
  readonly taskId: string;
  /** Below 0: one per task and kind, the last put counts. From 0: the first put counts. */
  readonly idx: number;
  readonly channel: string;
}

export interface StoredCheckpoint {
  readonly threadId: string;
  readonly ns: string;
  readonly id: string;
  readonly parentId: string | null;
  readonly runId: string | null;
  readonly head: CheckpointHead;
  readonly metadata: Record<string, unknown>;
  /** [channel, type, data] of the values with a row of their own; with `inline` these are all values */
  readonly blobs: readonly [string, string, string][];
  readonly inline: InlineValues;
  /** [task id, channel, type, data], by task and index */
  readonly writes: readonly [string, string, string, string][];
}

/** All values of a checkpoint: [channel, type, data]. */
export const valuesOf = ({ blobs, inline }: StoredCheckpoint): [string, string, string][] => [
  ...blobs,
  ...Object.entries(inline).map(([channel, [type, data]]): [string, string, string] => [
    channel,
    type,
    data,
  ]),
];
