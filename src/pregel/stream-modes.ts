/** What a run can show while it goes on, and where it goes. */

/**
 * values       the output channels after each step that wrote to one
 * updates      what each actor wrote
 * custom       what actors passed to `write`
 * messages     `[chunk, metadata]` of messages while they are made, and whole messages in updates
 * tasks        the start and the result of each task
 * checkpoints  each checkpoint as it is made
 * debug        tasks and checkpoints, with step and time
 */
export const PREGEL_STREAM_MODES = [
  'values',
  'updates',
  'custom',
  'messages',
  'tasks',
  'checkpoints',
  'debug',
] as const;
export type PregelStreamMode = (typeof PREGEL_STREAM_MODES)[number];

/** Receives all modes of a run and of the graphs inside it, in one pass. */
export interface StreamSink {
  readonly modes: ReadonlySet<PregelStreamMode>;
  /** False: events of nested graphs are dropped (custom and messages still arrive, as the outer graph's). */
  readonly subgraphs: boolean;
  /** @param namespace empty for the root, else `node:task id` per level */
  emit(namespace: readonly string[], mode: PregelStreamMode, payload: unknown): void;
  /** A promise while the receiver has no room; awaited between steps. */
  room(): Promise<void> | undefined;
}
