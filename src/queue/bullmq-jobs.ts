/** What a job of the run queue holds, and how long one may go without a sign of life of its worker. */
import { z } from 'zod';

export const JobData = z.object({ runId: z.uuid() });

export const WORKER_OPTIONS = {
  /** A worker that does not renew a job for this many ms is taken for dead by BullMQ; the lease is what counts. */
  lockDuration: 30_000,
  /** BullMQ drops a job that stalled more often; the row decides, so never drop. */
  maxStalledCount: 1_000,
} as const;
