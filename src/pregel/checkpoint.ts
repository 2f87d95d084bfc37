/**
 * The port through which state is kept: the part of LangGraph's `BaseCheckpointSaver` that the
 * runtime calls, written down structurally. Any saver of that family fits, and ours serves both
 * runtimes. Shapes are those of @langchain/langgraph-checkpoint 1.1 (format version 4).
 */

export interface Checkpoint {
  /** Format version. */
  v: number;
  /** Sorts by creation, also as text. */
  id: string;
  /** ISO 8601. */
  ts: string;
  channel_values: Record<string, unknown>;
  channel_versions: Record<string, number | string>;
  versions_seen: Record<string, Record<string, number | string>>;
}

export interface CheckpointMetadata {
  source: 'input' | 'loop' | 'update' | 'fork';
  /** -1 for the first input, 0 for the first superstep. */
  step: number;
  /** Checkpoint namespace → id, of the graphs around this one. */
  parents: Record<string, string>;
  [key: string]: unknown;
}

/** `[channel, value]` */
export type PendingWrite = [string, unknown];
/** `[task id, channel, value]` */
export type CheckpointPendingWrite = [string, string, unknown];

/** Addresses a checkpoint: `thread_id`, `checkpoint_ns` ('' at the root), `checkpoint_id` (absent: the latest). */
export interface CheckpointConfig {
  configurable?: Record<string, unknown>;
}

export interface CheckpointTuple {
  config: CheckpointConfig;
  checkpoint: Checkpoint;
  metadata?: CheckpointMetadata;
  parentConfig?: CheckpointConfig;
  pendingWrites?: CheckpointPendingWrite[];
}

export interface CheckpointListOptions {
  limit?: number;
  before?: CheckpointConfig;
  /** Metadata that must be equal. */
  filter?: Record<string, unknown>;
}

export interface Checkpointer {
  getTuple(config: CheckpointConfig): Promise<CheckpointTuple | undefined>;
  /** Newest first. */
  list(config: CheckpointConfig, options?: CheckpointListOptions): AsyncGenerator<CheckpointTuple>;
  /** @param config addresses the parent, when it has a checkpoint_id */
  put(
    config: CheckpointConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: Record<string, number | string>,
  ): Promise<CheckpointConfig>;
  /** Keeps what one task wrote, beside the checkpoint its step began from. Same task and index: the first stays. */
  putWrites(config: CheckpointConfig, writes: PendingWrite[], taskId: string): Promise<void>;
}

export const CHECKPOINT_VERSION = 4;

/** The parts of a config that address a checkpoint. */
export function checkpointAddress(config: CheckpointConfig): {
  threadId: string | undefined;
  ns: string;
  id: string | undefined;
} {
  const { thread_id, checkpoint_ns, checkpoint_id } = config.configurable ?? {};
  const text = (value: unknown): string | undefined =>
    typeof value === 'string' && value !== '' ? value : undefined;
  return { threadId: text(thread_id), ns: text(checkpoint_ns) ?? '', id: text(checkpoint_id) };
}
