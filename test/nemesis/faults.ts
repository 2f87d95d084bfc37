/** Does to a cluster what the schedule says, heals it, and measures how long it takes until runs succeed again. */
import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { createBullmqQueue } from '../../src/queue/bullmq.ts';
import { queueTags } from '../../src/queue/tags.ts';
import type { Cluster } from '../support/cluster.ts';
import type { TestPostgres } from '../support/postgres.ts';
import type { TestProcess } from '../support/processes.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import type { FaultKind, PlannedFault } from './schedule.ts';

export interface Victim {
  readonly cluster: Cluster;
  readonly postgres: TestPostgres;
  /** Between the processes and the stores. */
  readonly redisLine: TcpProxy;
  readonly postgresLine: TcpProxy;
  /** Read by the processes, see test/support/shifted-clock.mjs. */
  readonly clockFile: string;
}

/** Does it. @returns what ends it */
type Fault = (victim: Victim, which: number) => Promise<() => Promise<void> | void>;

const SLOW_MS = 60;
const TAIL_MS = 1_000;
let workersStarted = 100;

function workerAt({ cluster }: Victim, which: number): [string, TestProcess] {
  const found = [...cluster.workers][which % cluster.workers.size];
  if (found === undefined) throw new Error('the cluster has no worker');
  return found;
}

async function loseWorker(
  victim: Victim,
  which: number,
  how: (worker: TestProcess) => Promise<unknown>,
): Promise<() => Promise<void>> {
  const [name, worker] = workerAt(victim, which);
  await how(worker);
  victim.cluster.workers.delete(name);
  return async () => {
    await victim.cluster.startWorker(`w${++workersStarted}`);
  };
}

async function loseServer(
  victim: Victim,
  which: number,
  how: (server: TestProcess) => Promise<unknown>,
): Promise<() => Promise<void>> {
  const { servers } = victim.cluster;
  const server = servers[which % servers.length];
  if (server === undefined) throw new Error('the cluster has no server');
  servers.splice(servers.indexOf(server), 1);
  await how(server.process);
  return async () => {
    await victim.cluster.startServer();
  };
}

const now = (): void => undefined;

const faults: Record<FaultKind, Fault> = {
  'kill worker': (victim, which) => loseWorker(victim, which, (worker) => worker.kill()),
  'stop worker': (victim, which) => loseWorker(victim, which, (worker) => worker.stop()),
  'freeze worker': (victim, which) => {
    const [, worker] = workerAt(victim, which);
    worker.freeze();
    return Promise.resolve(() => {
      worker.thaw();
    });
  },
  'kill server': (victim, which) => loseServer(victim, which, (server) => server.kill()),
  'stop server': (victim, which) => loseServer(victim, which, (server) => server.stop()),
  'kill redis': async ({ cluster }) => {
    await cluster.redis.kill();
    return () => cluster.redis.restart();
  },
  'flush redis': async ({ cluster }) => {
    await cluster.redis.flushall();
    return now;
  },
  'freeze redis': ({ cluster }) => {
    cluster.redis.pause();
    return Promise.resolve(() => {
      cluster.redis.resume();
    });
  },
  'cut redis': ({ redisLine }) => {
    redisLine.cut();
    return Promise.resolve(now);
  },
  'lose redis replies': ({ redisLine }) => lose(redisLine),
  'slow redis': ({ redisLine }) => slow(redisLine),
  'kill pubsub': async ({ cluster }) => {
    await cluster.redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub');
    return now;
  },
  'lose a tail': async (victim, which) => {
    const { cluster, postgres } = victim;
    postgres.pause();
    // Events that clients see, and that no archiver can store.
    await delay(TAIL_MS);
    await cluster.redis.kill();
    const startAnother = await loseWorker(victim, which, (worker) => worker.kill());
    await cluster.redis.restart();
    postgres.resume();
    return startAnother;
  },
  'kill postgres': async ({ postgres }) => {
    await postgres.kill();
    return () => postgres.restart();
  },
  'freeze postgres': ({ postgres }) => {
    postgres.pause();
    return Promise.resolve(() => {
      postgres.resume();
    });
  },
  'cut postgres': ({ postgresLine }) => {
    postgresLine.cut();
    return Promise.resolve(now);
  },
  'lose postgres replies': ({ postgresLine }) => lose(postgresLine),
  'slow postgres': ({ postgresLine }) => slow(postgresLine),
  'part from redis': ({ redisLine }) => part(redisLine),
  'part from postgres': ({ postgresLine }) => part(postgresLine),
  'fill redis': async ({ cluster }) => {
    await cluster.redis.command('CONFIG', 'SET', 'maxmemory', '1');
    return async () => {
      await cluster.redis.command('CONFIG', 'SET', 'maxmemory', '0');
    };
  },
  'fill postgres': async ({ cluster }) => {
    await setRoom(cluster, false);
    return () => setRoom(cluster, true);
  },
  'lose wake-ups': async ({ cluster }) => {
    await cluster.redis.command(
      'EVAL',
      "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end",
      '0',
      `${String(queueTags(cluster.keyPrefix, 1)[0]?.prefix)}:*`,
    );
    return now;
  },
  'repeat wake-ups': async ({ cluster }) => {
    const { rows } = await cluster.pool.query<{ run_id: string }>(
      'SELECT run_id FROM runs ORDER BY created_at DESC LIMIT 100',
    );
    const queue = createBullmqQueue({
      redisUrl: cluster.redis.url,
      prefix: cluster.keyPrefix,
      onTrouble: () => undefined,
      onRefused: () => undefined,
    });
    // The number is part of the job's id, which else would be one and the same.
    for (const { run_id: runId } of rows)
      queue.wake([101, 102, 103].map((attempt) => ({ runId, attempt, delayMs: 0 })));
    await queue.stop();
    return now;
  },
  'set clocks wrong': ({ clockFile }, which) => {
    const hour = 3_600_000;
    const part = (which % 100) / 100;
    writeFileSync(clockFile, [-hour, part * hour, 0, -part * hour, hour].join(' '));
    return Promise.resolve(() => {
      writeFileSync(clockFile, '0');
    });
  },
};

/** Tables that get longer while runs are executed. */
const GROWING = ['threads', 'runs', 'events', 'checkpoints', 'checkpoint_blobs'];

/** Lets Postgres say, or not, what it says when it cannot make a table longer. Locks no table. */
async function setRoom(cluster: Cluster, room: boolean): Promise<void> {
  const does = room
    ? 'RETURN NULL;'
    : `RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';`;
  await cluster.pool.query(
    `CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${does} END $$`,
  );
}

/** To be called before anything runs. */
export async function prepareFaults(cluster: Cluster): Promise<void> {
  await setRoom(cluster, true);
  for (const table of GROWING)
    await cluster.pool.query(
      `CREATE TRIGGER no_room BEFORE INSERT ON ${table} EXECUTE FUNCTION no_room()`,
    );
}

function part(line: TcpProxy): Promise<() => void> {
  line.refuse();
  line.cut();
  return Promise.resolve(() => {
    line.accept();
  });
}

function lose(line: TcpProxy): Promise<() => void> {
  line.lose('down');
  return Promise.resolve(() => {
    line.cut();
    line.keep('down');
  });
}

function slow(line: TcpProxy): Promise<() => void> {
  line.delay(SLOW_MS);
  return Promise.resolve(() => {
    line.delay(0);
  });
}

/** Runs that kill their process take workers along: starts others in their place. */
export async function revive({ cluster }: Victim): Promise<void> {
  for (const [name, worker] of [...cluster.workers]) {
    if (worker.ended === null) continue;
    cluster.workers.delete(name);
    await cluster.startWorker(`w${++workersStarted}`);
  }
}

/** Returns when the fault is over and everything runs again; not when it has recovered. */
export async function inflict(victim: Victim, fault: PlannedFault): Promise<void> {
  const end = await faults[fault.kind](victim, fault.which);
  await delay(fault.forMs);
  await end();
}
