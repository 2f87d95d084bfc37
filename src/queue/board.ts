/**
 * The run queue as Bull Board shows it. A connection of its own, made at the first look: most servers are
 * never asked, and a board that reads a large queue must not hold up wake-ups.
 */
import type { BaseAdapter } from '@bull-board/api/baseAdapter';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { Queue } from 'bullmq';
import { queueConnection } from '../redis/connect.ts';
import { bullPrefix, JobData, RUN_QUEUE_NAME } from './bullmq.ts';

export interface QueueBoard {
  /**
   * @param options.runHref the page of a run
   * @returns the same adapter at every call
   */
  adapter(options: { readOnly: boolean; runHref(runId: string): string }): BaseAdapter;
  stop(): Promise<void>;
}

export function createQueueBoard(options: {
  redisUrl: string;
  prefix: string;
  onTrouble(what: string, error: unknown): void;
}): QueueBoard {
  let made: { adapter: BaseAdapter; stop(): Promise<void> } | undefined;
  return {
    adapter({ readOnly, runHref }) {
      if (made !== undefined) return made.adapter;
      const { connection, end } = queueConnection(options.redisUrl, 'producer');
      const queue = new Queue(RUN_QUEUE_NAME, { prefix: bullPrefix(options), connection });
      queue.on('error', (error) => {
        options.onTrouble('queue board', error);
      });
      const adapter = new BullMQAdapter(queue, {
        readOnlyMode: readOnly,
        // A job that was added again by hand would only be a wake-up more: the row decides.
        allowRetries: false,
        description:
          'Wake-ups: one job a run that a worker should look at. The truth is in Postgres.',
        externalJobUrl: ({ data }) => {
          const job = JobData.safeParse(data);
          return { displayText: 'Run', href: job.success ? runHref(job.data.runId) : '#' };
        },
      });
      made = {
        adapter,
        async stop() {
          // Closing says good-bye to Redis, which fails when Redis is away.
          await queue.close().catch(() => queue.disconnect());
          end();
        },
      };
      return adapter;
    },
    stop: () => made?.stop() ?? Promise.resolve(),
  };
}
