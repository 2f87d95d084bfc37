/**
 * The run queue on BullMQ. A job is {runId} and nothing else; its id is the run and the attempt it asks
 * for, so that adding it again while it waits is a no-op. Jobs are removed when done, whatever came of
 * them: retries and failures are rows, and a job that stays would block its id.
 *
 * In a cluster it is several of BullMQ's queues (tags.ts). Which of them a wake-up is in follows from the run, so
 * it is in one; and every worker listens to all, so it does not matter in which.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Queue, WaitingError, Worker } from 'bullmq';
import { queueConnection } from '../redis/connect.ts';
import type { QueueConnection } from '../redis/connect.ts';
import { JobData, WORKER_OPTIONS } from './bullmq-jobs.ts';
import { createSeveralConsumer } from './bullmq-several.ts';
import type { RunConsumer, RunHandler, RunQueue, WakeUp } from './port.ts';
import { queueTags, tagOfRun } from './tags.ts';

/** Jobs of one addBulk call. */
const ADD_BATCH_MAX = 500;
const STOP_LIMIT_MS = 1_000;

export interface BullmqOptions {
  redisUrl: string;
  /** Of all keys of the deployment. */
  prefix: string;
  /** Hash tags that the queue is spread over. Default: 1. */
  tagCount?: number | undefined;
  onTrouble(what: string, error: unknown): void;
  /** Called with wake-ups that Redis did not take. */
  onRefused(runs: readonly WakeUp[]): void;
}

export function createBullmqQueue(options: BullmqOptions): RunQueue {
  const { connection, end } = queueConnection(options.redisUrl, 'producer');
  const queues = queueTags(options.prefix, options.tagCount ?? 1).map(({ name, prefix }) => {
    const queue = new Queue(name, {
      prefix,
      connection,
      defaultJobOptions: { removeOnComplete: true, removeOnFail: true, attempts: 1 },
    });
    queue.on('error', (error) => {
      options.onTrouble('run queue', error);
    });
    return queue;
  });

  async function add(queue: Queue, runs: readonly WakeUp[]): Promise<void> {
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
    queues.forEach((queue, tag) => {
      const own = runs.filter(({ runId }) => tagOfRun(runId, queues.length) === tag);
      for (let i = 0; i < own.length; i += ADD_BATCH_MAX)
        void add(queue, own.slice(i, i + ADD_BATCH_MAX));
    });
  };
  /** Of all of them: the sum of some would say that less waits than does. */
  const depth: RunQueue['depth'] = () =>
    Promise.all(queues.map((queue) => queue.getWaitingCount())).then(
      (counts) => counts.reduce((sum, count) => sum + count, 0),
      () => undefined,
    );

  return {
    wake,
    // Those that are there are no-ops by their ids. Counted together: which run a wake-up was sent for does not matter.
    async repair(runs) {
      const waiting = await depth();
      if (waiting === undefined || waiting < runs.length) wake(runs);
    },
    depth,
    // Closing says good-bye to Redis, which fails when Redis is away; and a connection that was just
    // connecting again is ended by disconnect() without saying so.
    stop: () =>
      Promise.race<unknown>([
        Promise.all(queues.map((queue) => queue.close().catch(() => queue.disconnect()))),
        delay(STOP_LIMIT_MS, undefined, { ref: false }),
      ]).then(end),
  };
}

export function createBullmqConsumer(
  options: Omit<BullmqOptions, 'onRefused'> & { concurrency: number },
  handler: RunHandler,
): RunConsumer {
  const tags = queueTags(options.prefix, options.tagCount ?? 1);
  const [tag] = tags;
  if (tag === undefined || tags.length > 1)
    return createSeveralConsumer({ ...options, tags }, handler);
  let worker: Worker | undefined;
  let open: QueueConnection | undefined;
  let paused: Promise<void> | undefined;
  const consumer: RunConsumer = {
    start() {
      open ??= queueConnection(options.redisUrl, 'worker');
      worker ??= new Worker(
        tag.name,
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
          ...WORKER_OPTIONS,
          prefix: tag.prefix,
          connection: open.connection,
          concurrency: options.concurrency,
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
