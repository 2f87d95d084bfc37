/**
 * Checkpoints that go or move with their thread or run. Callers hold the thread's row or have raised its
 * term in the same transaction; nothing here is fenced.
 */
import { AppError } from '../errors.ts';
import type { Db } from '../postgres/pool.ts';
import { runningOf } from '../postgres/active-runs.ts';

export class CheckpointRunNotFoundError extends AppError {
  readonly code = 'run_not_found';
}

/**
 * Takes back what a run wrote: its checkpoints, its writes on earlier ones, and values no other
 * checkpoint still has. Call it before the run's row is deleted, in the same transaction: the row tells the
 * thread, and an index by run would cost every write for the sake of this rare call.
 * @throws {CheckpointRunNotFoundError}
 */
export async function deleteRunCheckpoints(db: Db, runId: string): Promise<void> {
  const { rows } = await db.query<{ thread_id: string }>(
    'SELECT thread_id FROM runs WHERE run_id = $1',
    [runId],
  );
  const run = rows[0];
  if (run === undefined) throw new CheckpointRunNotFoundError('Run not found');
  const ids = [run.thread_id, runId];
  // Writes on the run's checkpoints by later runs go with the checkpoints.
  await db.query(
    `WITH gone AS (
       DELETE FROM checkpoints WHERE thread_id = $1 AND run_id = $2 RETURNING checkpoint_ns, checkpoint_id
     )
     DELETE FROM checkpoint_writes w WHERE thread_id = $1
       AND (run_id = $2 OR (checkpoint_ns, checkpoint_id) IN (SELECT * FROM gone))`,
    ids,
  );
  // A run that goes on from these states has yet to write the first checkpoint that names their values, and takes
  // them for stored: then they stay, until the thread is pruned or goes.
  await db.query(
    `DELETE FROM checkpoint_blobs b WHERE b.thread_id = $1 AND b.run_id = $2
       AND coalesce(${runningOf('$1')}, $2) = $2
       AND NOT EXISTS (
       SELECT 1 FROM checkpoints c WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns
         AND c.head -> 'channel_versions' ->> b.channel = b.version)`,
    ids,
  );
}

/** Leaves the latest state of each namespace, with no way back from it. */
export async function keepLatestCheckpoints(db: Db, threadId: string): Promise<void> {
  await db.query(
    `WITH latest AS (
       SELECT DISTINCT ON (checkpoint_ns) checkpoint_ns, checkpoint_id FROM checkpoints
       WHERE thread_id = $1 ORDER BY checkpoint_ns, position DESC
     ), gone AS (
       DELETE FROM checkpoints WHERE thread_id = $1
         AND (checkpoint_ns, checkpoint_id) NOT IN (SELECT * FROM latest)
     ), first AS (
       UPDATE checkpoints SET parent_id = NULL WHERE thread_id = $1
         AND (checkpoint_ns, checkpoint_id) IN (SELECT * FROM latest)
     )
     DELETE FROM checkpoint_writes WHERE thread_id = $1
       AND (checkpoint_ns, checkpoint_id) NOT IN (SELECT * FROM latest)`,
    [threadId],
  );
  await db.query(
    `DELETE FROM checkpoint_blobs b WHERE b.thread_id = $1 AND NOT EXISTS (
       SELECT 1 FROM checkpoints c WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns
         AND c.head -> 'channel_versions' ->> b.channel = b.version)`,
    [threadId],
  );
}

export async function deleteThreadCheckpoints(db: Db, threadId: string): Promise<void> {
  await db.query(
    `WITH a AS (DELETE FROM checkpoints WHERE thread_id = $1),
          b AS (DELETE FROM checkpoint_blobs WHERE thread_id = $1)
     DELETE FROM checkpoint_writes WHERE thread_id = $1`,
    [threadId],
  );
}

/**
 * Copies a whole thread's states to another, which has none. The copies belong to no run (deleting a run
 * of the one thread must not reach into the other), and metadata that names the thread names the new one.
 */
export async function copyThreadCheckpoints(db: Db, from: string, to: string): Promise<void> {
  // One statement, one snapshot. ORDER BY: position is given in the order of insertion.
  await db.query(
    `WITH a AS (
       INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_id, head, metadata)
       SELECT $2::uuid, checkpoint_ns, checkpoint_id, parent_id, head,
         CASE WHEN metadata ? 'thread_id'
           THEN jsonb_set(metadata, '{thread_id}', to_jsonb($2::uuid::text)) ELSE metadata END
       FROM checkpoints WHERE thread_id = $1::uuid ORDER BY position
     ), b AS (
       INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, data)
       SELECT $2::uuid, checkpoint_ns, channel, version, type, data FROM checkpoint_blobs WHERE thread_id = $1
     )
     INSERT INTO checkpoint_writes
       (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, run_id, channel, type, data)
     SELECT DISTINCT ON (checkpoint_ns, checkpoint_id, task_id, idx) $2::uuid, checkpoint_ns, checkpoint_id,
       task_id, idx, '00000000-0000-0000-0000-000000000000'::uuid, channel, type, data
     FROM checkpoint_writes WHERE thread_id = $1
     ORDER BY checkpoint_ns, checkpoint_id, task_id, idx, CASE WHEN idx < 0 THEN -position ELSE position END`,
    [from, to],
  );
}
