/** The workers there are, as each of them says with its heartbeat. On Postgres' clock. */
import type { Db } from '../postgres/pool.ts';

export interface WorkerBeat {
  readonly workerId: string;
  /** Runs at once. */
  readonly slots: number;
  /** Silent for longer: gone. */
  readonly leaseMs: number;
}

export async function beatWorker(db: Db, { workerId, slots, leaseMs }: WorkerBeat): Promise<void> {
  await db.query({
    name: 'beat-worker',
    text: `INSERT INTO workers (worker_id, slots, expires_at)
           VALUES ($1, $2, now() + $3 * interval '1 ms')
           ON CONFLICT (worker_id) DO UPDATE SET slots = excluded.slots, expires_at = excluded.expires_at`,
    values: [workerId, slots, leaseMs],
  });
}

/** A worker that stops says so, so that nobody counts on it for the rest of its lease. */
export async function removeWorker(db: Db, workerId: string): Promise<void> {
  await db.query('DELETE FROM workers WHERE worker_id = $1', [workerId]);
}

/** Those that never said good-bye. */
export async function deleteGoneWorkers(db: Db): Promise<void> {
  await db.query(`DELETE FROM workers WHERE expires_at < now() - interval '1 hour'`);
}
