/** A Redis Cluster of three masters, and a master with a replica that sentinels watch. Real servers on free ports. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from '../../src/lib/free-port.ts';
import { SLOT_COUNT, slotOf } from '../../src/redis/slot.ts';
import { startProcess } from './processes.ts';
import type { TestProcess } from './processes.ts';
import { command, redisBinary, startRedis } from './redis.ts';
import type { TestRedis } from './redis.ts';
import { createTempFolder, removeTempFolder } from './reaper.ts';
import { waitUntil } from './wait-until.ts';

const MASTERS = 3;

export interface TestRedisCluster {
  /** redis-cluster://… with all three. */
  readonly url: string;
  readonly masters: readonly TestRedis[];
  /** The master that a hash tag is on, as long as none has failed over. */
  masterOf(tag: string): TestRedis;
  /** One command on each master. @returns the first lines of the replies */
  onEach(...words: string[]): Promise<string[]>;
  /** Settles when every node but those that are down sees all slots served. */
  whole(down?: readonly TestRedis[]): Promise<void>;
  stop(): Promise<void>;
}

export interface RedisClusterOptions {
  /** A replica for each master, which takes its place when it dies. */
  replicas?: boolean;
  settings?: Record<string, string>;
}

export async function startRedisCluster(
  options: RedisClusterOptions = {},
): Promise<TestRedisCluster> {
  const nodes: { redis: TestRedis; bus: number }[] = [];
  const size = options.replicas === true ? 2 * MASTERS : MASTERS;
  for (let i = 0; i < size; i++) nodes.push(await startClusterNode(options.settings));
  const all = nodes.map(({ redis }) => redis);
  const masters = all.slice(0, MASTERS);
  const firstSlot = (i: number): number => Math.floor((SLOT_COUNT * i) / MASTERS);
  const cluster: TestRedisCluster = {
    url: `redis-cluster://${masters.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    masters,
    masterOf(tag) {
      const master = masters.findLast((_, i) => firstSlot(i) <= slotOf(tag));
      if (master === undefined) throw new Error('no master');
      return master;
    },
    onEach: (...words) => Promise.all(masters.map((master) => master.command(...words))),
    async whole(down = []) {
      const up = all.filter((node) => !down.includes(node));
      await waitUntil(
        async () => (await Promise.all(up.map(({ port }) => clusterState(port)))).every(Boolean),
        { timeoutMs: 60_000, what: 'the cluster to be ok on every node' },
      );
    },
    async stop() {
      await Promise.all(all.map((node) => node.stop()));
    },
  };
  const [first] = nodes;
  for (const [i, { redis: node }] of nodes.entries()) {
    if (i < MASTERS)
      await node.command(
        'CLUSTER',
        'ADDSLOTSRANGE',
        String(firstSlot(i)),
        String(firstSlot(i + 1) - 1),
      );
    await node.command('CLUSTER', 'SET-CONFIG-EPOCH', String(i + 1));
    if (first !== undefined && i > 0)
      await node.command(
        'CLUSTER',
        'MEET',
        '127.0.0.1',
        String(first.redis.port),
        String(first.bus),
      );
  }
  await cluster.whole();
  for (const [i, replica] of all.slice(MASTERS).entries()) await follow(replica, masters[i]);
  return cluster;
}

async function follow(replica: TestRedis, master: TestRedis | undefined): Promise<void> {
  const id = await wholeReply(master?.port ?? 0, ['CLUSTER', 'MYID']);
  await replica.command('CLUSTER', 'REPLICATE', id);
  await waitUntil(
    async () =>
      (await wholeReply(replica.port, ['INFO', 'replication'])).includes('master_link_status:up'),
    { timeoutMs: 30_000, what: 'a replica to follow' },
  );
}

/** The bus has a port of its own: by Redis' rule it would be the server's and 10,000, which may be none. */
async function startClusterNode(
  settings: Record<string, string> = {},
): Promise<{ redis: TestRedis; bus: number }> {
  const bus = await freePort();
  const redis = await startRedis({
    settings: {
      'cluster-enabled': 'yes',
      'cluster-port': String(bus),
      'cluster-node-timeout': '2000',
      // A replica that has followed takes over, however long a busy machine kept it from hearing of its master.
      'cluster-replica-validity-factor': '0',
      'repl-diskless-sync-delay': '0',
      ...settings,
    },
  });
  return { redis, bus };
}

/** True when the node sees all slots served by three masters. */
async function clusterState(port: number): Promise<boolean> {
  const info = await wholeReply(port, ['CLUSTER', 'INFO']);
  return info.includes('cluster_state:ok') && info.includes('cluster_size:3');
}

async function wholeReply(port: number, words: string[]): Promise<string> {
  const redis = new Redis(port, '127.0.0.1', { lazyConnect: true });
  try {
    await redis.connect();
    const [name = '', ...args] = words;
    return String(await redis.call(name, ...args));
  } finally {
    redis.disconnect();
  }
}

export interface TestSentinels {
  /** redis-sentinel://…/mymaster */
  readonly url: string;
  readonly master: TestRedis;
  readonly replica: TestRedis;
  /** Port of the master that the sentinels agree on. */
  masterPort(): Promise<number>;
  stop(): Promise<void>;
}

/** One master, one replica, three sentinels that agree by two. */
export async function startSentinels(): Promise<TestSentinels> {
  const master = await startRedis({ appendonly: true, appendfsync: 'always' });
  const replica = await startRedis({
    settings: { replicaof: `127.0.0.1 ${master.port}`, 'repl-diskless-sync-delay': '0' },
  });
  await waitUntil(
    async () =>
      (await wholeReply(replica.port, ['INFO', 'replication'])).includes('master_link_status:up'),
    { timeoutMs: 15_000, what: 'the replica to follow' },
  );
  const sentinels: { process: TestProcess; folder: string; port: number }[] = [];
  for (let i = 0; i < 3; i++) sentinels.push(await startSentinel(master.port));
  const ports = sentinels.map(({ port }) => port);
  await waitUntil(
    async () => {
      const seen = await Promise.all(ports.map((port) => wholeReply(port, ['INFO', 'sentinel'])));
      return seen.every((info) => /status=ok,.*slaves=1,sentinels=3/.test(info));
    },
    { timeoutMs: 20_000, what: 'the sentinels to know each other and the replica' },
  );
  return {
    url: `redis-sentinel://${ports.map((port) => `127.0.0.1:${port}`).join(',')}/mymaster`,
    master,
    replica,
    async masterPort() {
      const reply = await wholeReply(ports[0] ?? 0, [
        'SENTINEL',
        'get-master-addr-by-name',
        'mymaster',
      ]);
      return Number(reply.split(',')[1]);
    },
    async stop() {
      for (const { process, folder } of sentinels) {
        await process.kill();
        removeTempFolder(folder);
      }
      await replica.stop();
      await master.stop();
    },
  };
}

async function startSentinel(
  masterPort: number,
): Promise<{ process: TestProcess; folder: string; port: number }> {
  const port = await freePort();
  const folder = createTempFolder('sentinel');
  // Sentinels write what they learn into their file.
  const file = join(folder, 'sentinel.conf');
  writeFileSync(
    file,
    [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${folder}`,
      `sentinel monitor mymaster 127.0.0.1 ${masterPort} 2`,
      'sentinel down-after-milliseconds mymaster 1000',
      'sentinel failover-timeout mymaster 5000',
    ].join('\n'),
  );
  const process = await startProcess(redisBinary(), [file, '--sentinel'], {
    readyLine: /Sentinel ID is/,
  });
  await waitUntil(async () => (await command(port, ['PING'])) === '+PONG', { timeoutMs: 30_000 });
  return { process, folder, port };
}
