/**
 * What a run has committed without waiting for the disk. A crash of Postgres takes the newest of it back while the run
 * goes on here, with later checkpoints that name the values of lost ones, or an end without the state it ended in.
 *
 * Commits are lost from the newest on, never one in the middle, so one row of the newest proves all: each statement asks for
 * it, and where it is missing writes everything here once more. Bounded: above KEPT_MAX the next commit waits for the disk,
 * which takes all before it along.
 */
import type { CheckpointPut, WritePut } from './checkpoint.ts';

/** Characters of values, and a guess for what is beside them. */
const KEPT_MAX = 512 * 1024;
const BESIDE_CHECKPOINT = 1_024;
const BESIDE_WRITE = 256;

export interface CheckpointBatch {
  readonly checkpoints: readonly CheckpointPut[];
  readonly writes: readonly WritePut[];
  /** Nothing of the batch is written unless this is there. */
  readonly since?: Since | undefined;
}

export interface Since {
  /** A row of the newest commit that did not wait for the disk. */
  readonly row: CheckpointPut | WritePut;
  /** What may be lost, with the batch. Writing again what is there changes nothing. */
  all(): CheckpointBatch;
}

export class Unflushed {
  #batches: CheckpointBatch[] = [];
  #size = 0;

  get full(): boolean {
    return this.#size > KEPT_MAX;
  }

  add(batch: CheckpointBatch): void {
    this.#batches.push({ checkpoints: batch.checkpoints, writes: batch.writes });
    for (const checkpoint of batch.checkpoints)
      this.#size += lengthOf(checkpoint) + BESIDE_CHECKPOINT;
    for (const { data } of batch.writes) this.#size += data.length + BESIDE_WRITE;
  }

  /** All of it is on the disk, or not wanted any more. */
  clear(): void {
    if (this.#batches.length === 0) return;
    this.#batches = [];
    this.#size = 0;
  }

  /** The batch, to be written only where what was written before it still is. */
  before({ checkpoints, writes }: CheckpointBatch): CheckpointBatch {
    const newest = this.#batches.at(-1);
    // Ids of checkpoints are new; a write may have been there before, from an earlier attempt.
    const row = newest?.checkpoints.at(-1) ?? newest?.writes.at(-1);
    if (row === undefined) return { checkpoints, writes };
    const batches = [...this.#batches, { checkpoints, writes }];
    return { checkpoints, writes, since: { row, all: () => merged(batches) } };
  }
}

/** In order, no key twice: of a checkpoint, and of a write with an index below 0, the last counts (WritePut.idx). */
function merged(batches: readonly CheckpointBatch[]): CheckpointBatch {
  const checkpoints = new Map<string, CheckpointPut>();
  const writes = new Map<string, WritePut>();
  for (const batch of batches) {
    for (const put of batch.checkpoints) {
      const key = keyOf(put.ns, put.id);
      const blobs = [...(checkpoints.get(key)?.blobs ?? []), ...put.blobs];
      checkpoints.set(key, { ...put, blobs });
    }
    for (const write of batch.writes) {
      const key = writeKey(write);
      if (write.idx < 0 || !writes.has(key)) writes.set(key, write);
    }
  }
  return { checkpoints: [...checkpoints.values()], writes: [...writes.values()] };
}

export function lengthOf({ blobs, inline = {} }: CheckpointPut): number {
  let length = 0;
  for (const { data } of blobs) length += data.length;
  for (const [, data] of Object.values(inline)) length += data.length;
  return length;
}

export const keyOf = (...parts: string[]): string => parts.join('\u0000');
export const writeKey = ({ ns, checkpointId, taskId, idx }: WritePut): string =>
  keyOf(ns, checkpointId, taskId, String(idx));
