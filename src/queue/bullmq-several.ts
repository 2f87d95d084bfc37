/**
 * One worker's ear on several BullMQ queues. BullMQ's own loop knows the slots of one queue: a loop for each would take as many
 * wake-ups from every queue as this worker has slots, and keep those it has no slot for from workers that have.
 *
 * So the loops share the slots and fetch by hand: a slot first, then a job. A queue that is empty is waited at without a
 * slot, because all of them are; what comes when the slots are taken is given back at once.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'bullmq';
import type { Job } from 'bullmq';
import { queueConnection } from '../redis/connect.ts';
import type { QueueConnection } from '../redis/connect.ts';
import { JobData, WORKER_OPTIONS } from './bullmq-jobs.ts';
import type { RunConsumer, RunHandler } from './port.ts';
import { createSlots } from './slots.ts';
import type { QueueTag } from './tags.ts';

const RETRY_MS = 500;
const STOP_LIMIT_MS = 1_000;

export interface SeveralConsumerOptions {
  readonly redisUrl: string;
  readonly tags: readonly QueueTag[];
  /** Wake-ups in hand, of all queues together. */
  readonly concurrency: number;
  onTrouble(what: string, error: unknown): void;
}

interface Ear {
  readonly worker: Worker;
  /** Jobs in hand with the tokens of their locks. */
  readonly held: Map<string, string>;
  /** Its Redis did not answer: it is not asked with a slot in hand, which the other queues need. */
  away: boolean;
}

export function createSeveralConsumer(
  options: SeveralConsumerOptions,
  handler: RunHandler,
): RunConsumer {
  const slots = createSlots(options.concurrency);
  const ears: Ear[] = [];
  const inHand = new Set<Promise<void>>();
  let open: QueueConnection | undefined;
  let loops: Promise<unknown> = Promise.resolve();
  let renewal: NodeJS.Timeout | undefined;
  let pausing: Promise<void> | undefined;
  const paused = (): boolean => pausing !== undefined;
  const trouble = (error: unknown): void => {
    options.onTrouble('run queue worker', error);
  };

  function listen(tag: QueueTag, { connection }: QueueConnection): Ear {
    const worker = new Worker(tag.name, undefined, {
      ...WORKER_OPTIONS,
      prefix: tag.prefix,
      connection,
      autorun: false,
    });
    worker.on('error', trouble);
    void worker.startStalledCheckTimer().catch(trouble);
    return { worker, held: new Map(), away: false };
  }

  async function loop(ear: Ear): Promise<void> {
    for (let n = 0; !paused(); n++) {
      const token = `${ear.worker.id}:${n}`;
      const job = (await fetchWithSlot(ear, token)) ?? (await waitForOne(ear, token));
      if (job === undefined) continue;
      const running: Promise<void> = handle(job, token, ear.held).finally(() =>
        inHand.delete(running),
      );
      inHand.add(running);
    }
  }

  /** @returns a job that is there, with a slot taken for it */
  async function fetchWithSlot(ear: Ear, token: string): Promise<Job | undefined> {
    if (ear.away) return undefined;
    // First come, first served: under load the queues take turns.
    await slots.take();
    const job = paused() ? undefined : await fetch(ear, token, false);
    if (job === undefined) slots.give();
    return job;
  }

  /** @returns a job that came, if there was a slot for it then */
  async function waitForOne(ear: Ear, token: string): Promise<Job | undefined> {
    if (paused()) return undefined;
    // BullMQ keeps to itself why a blocking read has ended: Redis away looks like an empty queue, until it is asked plainly.
    const job = (await fetch(ear, token, true)) ?? (await fetch(ear, token, false));
    if (job === undefined) {
      if (ear.away && !paused()) await delay(RETRY_MS, undefined, { ref: false });
      return undefined;
    }
    if (!paused() && slots.tryTake()) return job;
    await job.moveToWait(token).catch(trouble);
    return undefined;
  }

  /** @param block waits some seconds for one @returns undefined when there is none, or Redis is away */
  async function fetch(ear: Ear, token: string, block: boolean): Promise<Job | undefined> {
    try {
      const job = await ear.worker.getNextJob(token, { block });
      ear.away = false;
      return job;
    } catch (error) {
      if (paused()) return undefined;
      ear.away = true;
      trouble(error);
      return undefined;
    }
  }

  async function handle(job: Job, token: string, held: Ear['held']): Promise<void> {
    const id = job.id ?? '';
    held.set(id, token);
    try {
      const data = JobData.safeParse(job.data);
      if (!data.success) options.onTrouble(`job ${id}`, data.error);
      // The slot is free before Redis is told, which may be away.
      const taken = await (data.success ? handler(data.data.runId) : Promise.resolve(true)).finally(
        () => {
          slots.give();
        },
      );
      if (taken) await job.moveToCompleted(null, token, false);
      // Fetched while this worker was being paused.
      else await job.moveToWait(token);
    } catch (error) {
      // Its lock lapses and it wakes somebody once more, who finds nothing to do.
      trouble(error);
    } finally {
      held.delete(id);
    }
  }

  function renew(): void {
    for (const { worker, held } of ears)
      if (held.size > 0)
        worker
          .extendJobLocks([...held.keys()], [...held.values()], WORKER_OPTIONS.lockDuration)
          .catch(trouble);
  }

  async function pause(): Promise<void> {
    slots.open();
    // Ends the blocking reads, so that none takes a wake-up along.
    await within(Promise.all(ears.map(({ worker }) => worker.backend.disconnectBlocking(true))));
    await within(loops);
  }

  return {
    start() {
      if (open !== undefined) return Promise.resolve();
      const connection = queueConnection(options.redisUrl, 'worker');
      open = connection;
      ears.push(...options.tags.map((tag) => listen(tag, connection)));
      loops = Promise.all(ears.map(loop));
      renewal = setInterval(renew, WORKER_OPTIONS.lockDuration / 2);
      return Promise.resolve();
    },
    pause: () => (pausing ??= pause().catch(trouble)),
    async stop() {
      await (pausing ??= pause().catch(trouble));
      // Jobs in hand are given back or marked as done; without Redis they cannot be.
      await within(Promise.all(inHand));
      clearInterval(renewal);
      await Promise.all(ears.map(({ worker }) => worker.close(true)));
      ears.length = 0;
      open?.end();
      open = undefined;
    },
  };
}

const within = (work: Promise<unknown>): Promise<unknown> =>
  Promise.race([work, delay(STOP_LIMIT_MS, undefined, { ref: false })]);
