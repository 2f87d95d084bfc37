/** All run queues keep one promise (test/support/queue-promise.ts). */
import { keepsThePromise } from '../../support/queue-promise.ts';
import type { QueueCase } from '../../support/queue-promise.ts';

const QUEUES: Record<string, QueueCase> = {
  bullmq: { backend: 'bullmq', tags: 1 },
  'bullmq under four tags': { backend: 'bullmq', tags: 4 },
  list: { backend: 'list', tags: 1 },
  memory: { backend: 'memory', tags: 1 },
};

describe.each(Object.keys(QUEUES))('%s', (name) => {
  const queue = QUEUES[name];
  if (queue !== undefined) keepsThePromise(queue);
});
