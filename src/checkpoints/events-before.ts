/**
 * The run's events, as its checkpoints see them. Who goes on from a checkpoint does not emit again what came before
 * it, so a checkpoint that is in Postgres while those events are only in Redis and in the worker would make a hole of
 * their loss. So the statement that writes it takes them along, under the archive's own rule: whoever else brings the
 * same events, before it or after it, need not know.
 */
import type { ArchiveRow } from '../events/archive.ts';

/** A part of what Postgres may not have, in order. */
export interface EventBatch {
  /** Bounded like one append. None: Postgres has taken all up to `last` before, and has to say so again. */
  readonly rows: readonly ArchiveRow[];
  /** Seq of the last of them. */
  readonly last: number;
  /** Seq of the last event that was emitted by now. */
  readonly emitted: number;
}

export interface EventsBefore {
  /** undefined: all is in Postgres for good. */
  unarchived(): EventBatch | undefined;
  /** Postgres has all up to `last`, though perhaps not on its disk: not to be handed out again. */
  taken(last: number): void;
  /** Postgres came back without what it had taken. */
  lost(): void;
}
