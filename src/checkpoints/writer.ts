/** The fence of checkpoint writes: thread, run and the term they were claimed with. */
export interface CheckpointWriter {
  readonly threadId: string;
  readonly runId: string | null;
  /** null: not a run but an API call (update state), which fences by "no run is active". */
  readonly term: number | null;
}
