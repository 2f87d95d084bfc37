/**
 * The run queue as Bull Board shows it. A connection of its own, made at the first look: most servers are
 * never asked, and a board that reads a large queue must not hold up wake-ups.
 */
import type { BaseAdapter } from '@bull-board/api/baseAdapter';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { Queue } from 'bullmq';
import { queueConnection } from '../redis/connect.ts';
import { JobData } from './bullmq-jobs.ts';
import { queueTags } from './tags.ts';

export interface QueueBoard {
  /**
   * @param options.runHref the page of a run
   * @returns one adapter a hash tag of the queue, the same at every call
   */
  adapters(options: { readOnly: boolean; runHref(runId: string): string }): readonly BaseAdapter[];
  stop(): Promise<void>;
}

export function createQueueBoard(options: {
  redisUrl: string;
  prefix: string;
  tagCount: number;
  onTrouble(what: string, error: unknown): void;
}): QueueBoard {
  let made: { adapters: readonly BaseAdapter[]; stop(): Promise<void> } | undefined;
  return {
    adapters({ readOnly, runHref }) {
      if (made !== undefined) return made.adapters;
      const { connection, end } = queueConnection(options.redisUrl, 'producer');
      const queues = queueTags(options.prefix, options.tagCount).map(({ name, prefix }) => {
        const queue = new Queue(name, { prefix, connection });
        queue.on('error', (error) => {
          options.onTrouble('queue board', error);
        });
        return queue;
      });
      const adapters = queues.map(
        (queue) =>
          new BullMQAdapter(queue, {
            readOnlyMode: readOnly,
            // A job that was added again by hand would only be a wake-up more: the row decides.
            allowRetries: false,
            description:
              'Wake-ups: one job a run that a worker should look at. The truth is in Postgres.',
            externalJobUrl: ({ data }) => {
              const job = JobData.safeParse(data);
              return { displayText: 'Run', href: job.success ? runHref(job.data.runId) : '#' };
            },
          }),
      );
      made = {
        adapters,
        async stop() {
          // Closing says good-bye to Redis, which fails when Redis is away.
          for (const queue of queues) await queue.close().catch(() => queue.disconnect());
          end();
        },
      };
      return adapters;
    },
    stop: () => made?.stop() ?? Promise.resolve(),
  };
}
