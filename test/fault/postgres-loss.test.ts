/**
 * Postgres comes and goes, loses its answers, or is full. Redis carries on as far as its budget goes; nothing is
 * trimmed there that Postgres does not have, and what is missing is stored as soon as that is possible.
 */
import { connectCommands } from '../../src/redis/connect.ts';
import { createKeys } from '../../src/redis/keys.ts';
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import type { Plan } from '../support/fault-project/probe.ts';
import { expectWhole, followRun } from '../support/followed-run.ts';
import type { FollowedRun } from '../support/followed-run.ts';
import { startPostgres } from '../support/postgres.ts';
import type { TestPostgres } from '../support/postgres.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { waitUntil } from '../support/wait-until.ts';

/** Events of a thread that may wait in Redis: the smallest that can be set. */
const BUDGET = 1_000;

let postgres: TestPostgres;
let cluster: Cluster;
/** Between all processes and Postgres; the test itself goes past it. */
let line: TcpProxy;
let redis: ReturnType<typeof connectCommands>;
beforeAll(async () => {
  postgres = await startPostgres();
  line = await startTcpProxy({ port: postgres.port });
  cluster = await startCluster({
    serverUrl: postgres.url,
    workers: 0,
    databaseUrl: (url) => {
      const through = new URL(url);
      through.port = String(line.port);
      return through.href;
    },
    // An outage is not to cost a lease.
    env: { ...PATIENT, WORKER_HEARTBEAT_TTL: '30' },
  });
  redis = connectCommands({ url: cluster.redis.url, name: 'test' }, () => undefined);
});
afterAll(async () => {
  redis.disconnect();
  await cluster.stop();
  await line.close();
  await postgres.stop();
});

const begin = (plan: Plan): Promise<FollowedRun> => followRun(cluster, plan);

async function archived(threadId: string): Promise<number> {
  const { rows } = await cluster.pool.query<{ seq: number }>(
    'SELECT archived_seq AS seq FROM threads WHERE thread_id = $1',
    [threadId],
  );
  return rows[0]?.seq ?? 0;
}

/** Postgres is killed, and comes back when `work` is done, well or not. */
async function away(work: () => Promise<void>): Promise<void> {
  await postgres.kill();
  try {
    await work();
  } finally {
    await postgres.restart();
  }
}

/** What Redis has of a thread's log: last seq, watermark, entries above the watermark. */
async function inRedis(threadId: string): Promise<{ last: number; mark: number; kept: number }> {
  const { meta, stream } = createKeys(cluster.keyPrefix).log(threadId);
  const [last, mark] = await redis.hmget(meta, 'l', 'p');
  return { last: Number(last), mark: Number(mark), kept: await redis.xlen(stream) };
}

describe('with room in Redis', () => {
  beforeAll(() => cluster.startWorker('w1'));
  afterAll(async () => {
    await cluster.workers.get('w1')?.kill();
  });

  test('[14] of flushes whose answers are lost every row is there once', async () => {
    // One step: between two the graph waits for its checkpoint's answer, and there is nothing to flush.
    const run = await begin({ steps: 1, events: 1_200, eventMs: 10 });
    for (const from of [20, 120, 220]) {
      await run.visitor.now.until(from);
      const before = await archived(run.threadId);
      line.lose('down');
      const since = performance.now();
      try {
        // The answers that were under way may be those that are lost: then no flush follows them.
        await waitUntil(
          async () => (await archived(run.threadId)) > before || performance.now() - since > 2_000,
          { timeoutMs: 30_000 },
        );
      } finally {
        line.cut();
        line.keep('down');
      }
    }
    await expectWhole(cluster, run);
  });

  test('[12] Postgres killed again and again under 6 runs: events go on through Redis, the archive catches up', async () => {
    const runs = await Promise.all(
      Array.from({ length: 6 }, () => begin({ steps: 2, events: 900, eventMs: 20 })),
    );
    for (const { visitor } of runs) await visitor.now.until(20);
    for (let round = 0; round < 3; round++) {
      const lasts = (): Promise<number[]> =>
        Promise.all(runs.map(async ({ threadId }) => (await inRedis(threadId)).last));
      await away(async () => {
        const before = await lasts();
        // Of runs that are between two steps nothing comes: a checkpoint waits for Postgres.
        await waitUntil(
          async () => (await lasts()).filter((last, i) => last > (before[i] ?? 0) + 30).length >= 4,
          { timeoutMs: 30_000, what: 'events while Postgres is away' },
        );
      });
      const seen = await lasts();
      for (const [i, { threadId }] of runs.entries())
        await waitUntil(async () => (await archived(threadId)) >= (seen[i] ?? 0), {
          timeoutMs: 30_000,
          what: 'the archive to catch up',
        });
    }
    for (const run of runs) await expectWhole(cluster, run);
  });
});

describe('with a small budget in Redis', () => {
  beforeAll(() => cluster.startWorker('w2', { LOG_UNARCHIVED_MAX: String(BUDGET) }));

  /** Waits until the run has used its budget and tried Postgres itself, in vain. */
  async function expectHeld({ threadId, visitor }: FollowedRun): Promise<void> {
    const output = (): string => cluster.workers.get('w2')?.output() ?? '';
    const tries = (): number => output().split('trouble: append to direct').length;
    const before = tries();
    await waitUntil(() => tries() >= before + 1, {
      timeoutMs: 60_000,
      what: 'the writer to try Postgres itself',
    });
    const { last, mark, kept } = await inRedis(threadId);
    expect(last - mark).toBeLessThanOrEqual(BUDGET);
    // Nothing is trimmed that Postgres may not have.
    expect(kept).toBe(last - mark);
    expect(visitor.now.events.length).toBeGreaterThanOrEqual(mark);
    expect(visitor.now.ended).toBe(false);
  }

  test('[13] Postgres away for longer than the budget of Redis: the run is held, nothing is trimmed, all is there in the end', async () => {
    const run = await begin({ steps: 1, events: 3_000, eventMs: 2 });
    await run.visitor.now.until(20);
    await away(() => expectHeld(run));
    await expectWhole(cluster, run);
  });

  test('[54] no room left in Postgres: appends wait, requests are told storage_full, and all recovers by itself', async () => {
    const run = await begin({ steps: 1, events: 3_000, eventMs: 2 });
    await run.visitor.now.until(20);
    // What Postgres says when it cannot make a table longer.
    await cluster.pool.query(`
      CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
      CREATE TRIGGER no_room BEFORE INSERT ON events EXECUTE FUNCTION no_room();
      CREATE TRIGGER no_room BEFORE INSERT ON threads EXECUTE FUNCTION no_room()`);
    await expectHeld(run);
    const refused = await cluster.request('POST', '/threads', {});
    expect(refused).toEqual({
      status: 507,
      body: expect.stringContaining('storage_full') as string,
    });
    const read = await cluster.request('GET', `/threads/${run.threadId}/runs/${run.runId}`);
    expect(read).toMatchObject({ status: 200, body: { status: 'running' } });
    await cluster.pool.query('DROP FUNCTION no_room CASCADE');
    await expectWhole(cluster, run);
    expect((await cluster.request('POST', '/threads', {})).status).toBe(200);
  });
});
