/**
 * The rules of the log protocol, one switch each. The model reads them; a negative control turns
 * one off and must then find a failing seed, else the rule is idle or the model too weak.
 */
export interface Rules {
  // Postgres: the archive
  /** A row is accepted only when its term is `log_term`. */
  readonly archiveTerm: boolean;
  /** A row is accepted only at `archived_seq + 1`. */
  readonly archiveDense: boolean;
  // Postgres: claim, end, direct path
  /** Claim, step (c), inserts the tail that (b) returned, before the term starts. */
  readonly claimArchivesTail: boolean;
  /** Claim, step (c), happens only while the thread's term is still the claimer's. */
  readonly claimGuard: boolean;
  /** A log without `log_clean` is claimed through Redis, never by the short way. */
  readonly claimChecksClean: boolean;
  /** The end is refused to a worker whose term is not the thread's. */
  readonly endGuard: boolean;
  /** The end raises the thread's term once more. */
  readonly endRaisesTerm: boolean;
  /** The end sets `log_term` to the raised term, so that the archive takes nothing more of the ended one. */
  readonly endRaisesLogTerm: boolean;
  /** A direct write is refused to a worker whose term is not the thread's. */
  readonly directGuard: boolean;
  // Postgres: checkpoints, whose commits do not wait for the disk
  /** A checkpoint's statement takes along the events before it. */
  readonly checkpointTakesEvents: boolean;
  /** A checkpoint is put only when the archive reaches the events before it. */
  readonly checkpointChecksArchive: boolean;
  /** A checkpoint is refused to a worker whose term is not the thread's. */
  readonly checkpointGuard: boolean;

  // Redis: append
  /** An append of a term lower than the stored one is refused. */
  readonly appendFence: boolean;
  /** What is already there is not written again. */
  readonly appendDup: boolean;
  /** An append that begins above last + 1 is refused. */
  readonly appendGap: boolean;
  /** An append at or below the base of the term is refused, not taken for a DUP. */
  readonly appendBase: boolean;
  /** A closed log takes no append of its term. */
  readonly appendClosed: boolean;
  /** When something is not archived yet, the stream must still end with `last`. */
  readonly appendChecksTop: boolean;
  /** Only an append with the flag `open` starts the log over; another one of a higher term answers REOPEN. */
  readonly openNeedsFlag: boolean;
  /** `open` does nothing when the stored term is the writer's own already. */
  readonly openOnlyOnce: boolean;
  /** `open` is only set on the batch that begins at the term's start. */
  readonly openOnlyAtStart: boolean;
  /** A claim's REOPEN leaves the log not yet open: only `open`, or a REOPEN of the term itself, opens it. */
  readonly claimLeavesShut: boolean;

  // Redis: REOPEN and trim
  /** A REOPEN of a term lower than the stored one is refused. */
  readonly reopenFence: boolean;
  /** The tail ends before the first hole. */
  readonly tailDense: boolean;
  /** The tail ends before the first entry of another term than `log_term`. */
  readonly tailTerm: boolean;
  /** The tail begins after the stored watermark when that is above the `archived_seq` that was asked with. */
  readonly tailFromWatermark: boolean;
  /** The tail stays in Redis until Postgres has it. */
  readonly tailKept: boolean;
  /** A claim's REOPEN that finds its own term stored changes nothing (it is a resend). */
  readonly reopenOnce: boolean;
  /** Trim stops at what Postgres holds. */
  readonly trimWatermark: boolean;

  // Writer and reader
  /** The writer keeps an event until Postgres has it, not only until Redis has it. */
  readonly bufferUntilArchived: boolean;
  /** What a checkpoint took along is not archived for good: the writer keeps it. */
  readonly bufferOutlivesCheckpoint: boolean;
  /** A writer that has lost its place waits for Postgres' disk before it forgets what is archived. */
  readonly askWaitsForDisk: boolean;
  /** The cursor carries the term, and is checked against the starts of later terms. */
  readonly cursorTerm: boolean;
  /** A reader passes over entries of a lower term than its cursor's. */
  readonly readerRefusesLower: boolean;
  /** A reader is at the end when seq and term are those of the archive's last row, not seq alone. */
  readonly readerEndChecksTerm: boolean;
  /** A reader passes over void ranges. */
  readonly readerSkipsVoid: boolean;
}
