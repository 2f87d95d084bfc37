/** The run queues in a Redis Cluster of three masters keep the same promise. */
import { startRedisCluster } from '../../support/cluster-redis.ts';
import type { TestRedisCluster } from '../../support/cluster-redis.ts';
import { keepsThePromise } from '../../support/queue-promise.ts';

let cluster: TestRedisCluster;
beforeAll(async () => {
  cluster = await startRedisCluster();
}, 60_000);
afterAll(() => cluster.stop());
const redisUrl = (): string => cluster.url;

describe('bullmq under four tags', () => {
  keepsThePromise({ backend: 'bullmq', tags: 4, redisUrl });
});
describe('list', () => {
  keepsThePromise({ backend: 'list', tags: 1, redisUrl });
});
