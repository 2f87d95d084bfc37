/**
 * The run queue on BullMQ. A job is {runId} and nothing else; its id is the run and the attempt it asks
 * for, so that adding it again while it waits is a no-op. Jobs are removed when done, whatever came of
 * them: retries and failures are rows, and a job that stays would block its id.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Queue, WaitingError, Worker } from 'bullmq';
import { z } from 'zod';
import { queueConnection } from '../redis/connect.ts';
import type { QueueConnection } from '../redis/connect.ts';
import type { RunConsumer, RunHandler, RunQueue, WakeUp } from './port.ts';

export const RUN_QUEUE_NAME = 'runs';
/** Jobs of one addBulk call. */
const ADD_BATCH_MAX = 500;
/** A worker that does not renew a job for this long is taken for dead by BullMQ; the lease is what counts. */
const LOCK_MS = 30_000;
/** BullMQ drops a job that stalled more often; the row decides, so never drop. */
const STALLED_MAX = 1_000;
const STOP_LIMIT_MS = 1_000;

export const JobData = z.object({ runId: z.uuid() });

export interface BullmqOptions {
  redisUrl: string;
  /** Key prefix; in braces, so that all keys of the queue share a cluster slot. */
  prefix: string;
  onTrouble(what: string, error: unknown): void;
  /** Called with wake-ups that Redis did not take. */
  onRefused(runs: readonly WakeUp[]): void;
}

export const bullPrefix = (options: Pick<BullmqOptions, 'prefix'>): string =>
  `{${options.prefix}:queue}`;

export function createBullmqQueue(options: BullmqOptions): RunQueue {
  const { connection, end } = queueConnection(options.redisUrl, 'producer');
  const queue = new Queue(RUN_QUEUE_NAME, {
    prefix: bullPrefix(options),
    connection,
    defaultJobOptions: { removeOnComplete: true, removeOnFail: true, attempts: 1 },
  });
  queue.on('error', (error) => {
    options.onTrouble('run queue', error);
  });

  async function add(runs: readonly WakeUp[]): Promise<void> {
    const jobs = runs.map(({ runId, attempt, delayMs }) => ({
      name: 'run',
      data: { runId },
      opts: { jobId: `${runId}-${attempt}`, ...(delayMs > 0 ? { delay: delayMs } : {}) },
    }));
    try {
      const only = jobs[0];
      if (jobs.length === 1 && only !== undefined) await queue.add(only.name, only.data, only.opts);
      else await queue.addBulk(jobs);
    } catch (error) {
      options.onTrouble('add to run queue', error);
      options.onRefused(runs);
    }
  }

  const wake: RunQueue['wake'] = (runs) => {
    for (let i = 0; i < runs.length; i += ADD_BATCH_MAX) void add(runs.slice(i, i + ADD_BATCH_MAX));
  };
  const depth: RunQueue['depth'] = () => queue.getWaitingCount().catch(() => undefined);

  return {
    wake,
    // Those that are there are no-ops by their ids.
    async repair(runs) {
      const waiting = await depth();
      if (waiting === undefined || waiting < runs.length) wake(runs);
    },
    depth,
    // Closing says good-bye to Redis, which fails when Redis is away; and a connection that was just
    // connecting again is ended by disconnect() without saying so.
    stop: () =>
      Promise.race([
        queue.close().catch(() => queue.disconnect()),
        delay(STOP_LIMIT_MS, undefined, { ref: false }),
      ]).finally(end),
  };
}

export function createBullmqConsumer(
  options: Omit<BullmqOptions, 'onRefused'> & { concurrency: number },
  handler: RunHandler,
): RunConsumer {
  let worker: Worker | undefined;
  let open: QueueConnection | undefined;
  let paused: Promise<void> | undefined;
  const consumer: RunConsumer = {
    start() {
      open ??= queueConnection(options.redisUrl, 'worker');
      worker ??= new Worker(
        RUN_QUEUE_NAME,
        async (job, token) => {
          const data = JobData.safeParse(job.data);
          if (!data.success) {
            options.onTrouble(`job ${String(job.id)}`, data.error);
            return;
          }
          if (await handler(data.data.runId)) return;
          // Fetched while this worker was being paused.
          await job.moveToWait(token);
          throw new WaitingError();
        },
        {
          prefix: bullPrefix(options),
          connection: open.connection,
          concurrency: options.concurrency,
          lockDuration: LOCK_MS,
          maxStalledCount: STALLED_MAX,
        },
      );
      worker.on('error', (error) => {
        options.onTrouble('run queue worker', error);
      });
      return Promise.resolve();
    },
    pause() {
      // pause(true) would leave the blocking read open, and it takes the wake-up of a run that this very
      // worker hands over. pause(false) ends it at once; what it then waits for are the active jobs.
      paused ??= worker?.pause(false).catch((error: unknown) => {
        options.onTrouble('pause run queue worker', error);
      });
      return Promise.resolve();
    },
    async stop() {
      await consumer.pause();
      // Jobs in hand are given back or marked as done; without Redis they cannot be.
      await Promise.race([paused, delay(STOP_LIMIT_MS, undefined, { ref: false })]);
      await worker?.close(true);
      worker = undefined;
      open?.end();
      open = undefined;
    },
  };
  return consumer;
}
