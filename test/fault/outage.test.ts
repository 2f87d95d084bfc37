/**
 * Redis or Postgres away for longer than every wait that could hide it: runs end as they would have.
 * What must be exceeded here: Redis commands fail after 2 s, wake-ups count as lost after 2 and 3 s, a lease
 * lasts 3 s; an outage lasts until every run has gone on for more than that.
 */
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import type { Plan } from '../support/fault-project/probe.ts';
import { followRun } from '../support/followed-run.ts';
import type { FollowedRun } from '../support/followed-run.ts';
import { startPostgres } from '../support/postgres.ts';
import type { TestPostgres } from '../support/postgres.ts';
import { lockRows } from '../support/row-lock.ts';
import { violationsIn } from '../support/verify.ts';
import { waitUntil } from '../support/wait-until.ts';

async function beginAll(cluster: Cluster, plans: readonly Plan[]): Promise<FollowedRun[]> {
  const runs = await Promise.all(plans.map((plan) => followRun(cluster, plan)));
  for (const { visitor } of runs) await visitor.now.until(10);
  return runs;
}

describe('Redis', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster({ workers: 2, env: { WORKER_HEARTBEAT_TTL: '3' } });
  });
  afterAll(async () => {
    await cluster.stop();
  });

  /** Highest seq in Postgres of each of the runs' threads. */
  async function archivedSeqs(runs: readonly FollowedRun[]): Promise<number[]> {
    const { rows } = await cluster.pool.query<{ archived_seq: number }>(
      'SELECT archived_seq FROM threads WHERE thread_id = ANY($1) ORDER BY thread_id',
      [runs.map(({ threadId }) => threadId)],
    );
    return rows.map((row) => row.archived_seq);
  }

  // Frozen, its connections stay open and nothing answers; killed, it comes back empty.
  test.each(['frozen', 'killed'])(
    '[60] Redis %s while 10 runs execute: publishing goes on, 10 of 10 end as they would have',
    async (how) => {
      const events = 500;
      // At 40 events a second; two of them are meant to fail in the end.
      const plans = Array.from({ length: 10 }, (_, i): Plan => {
        const plan = { steps: 5, events: events / 5, eventMs: 25 };
        return i < 8 ? plan : { ...plan, atStep: 4, then: 'fail' };
      });
      const runs = await beginAll(cluster, plans);
      if (how === 'frozen') cluster.redis.pause();
      else await cluster.redis.kill();
      try {
        const before = await archivedSeqs(runs);
        // Every run writes 3.5 s of events more, and the clients get them: 2 s of it pass unseen at most.
        await waitUntil(
          async () => (await archivedSeqs(runs)).every((seq, i) => seq > (before[i] ?? 0) + 140),
          { timeoutMs: 60_000, what: 'every run to go on without Redis' },
        );
        // Not by their ends, which bring whatever is missing to Postgres.
        for (const { runId } of runs) expect((await cluster.row(runId)).status).toBe('running');
        for (const { visitor } of runs) await visitor.now.until(150);
      } finally {
        if (how === 'frozen') cluster.redis.resume();
        else await cluster.redis.restart();
      }
      for (const { visitor } of runs) await visitor.now.end();

      for (const [i, { threadId, runId, visitor }] of runs.entries()) {
        const fails = plans[i]?.then === 'fail';
        expect(await cluster.row(runId)).toMatchObject({
          status: fails ? 'error' : 'success',
          attempt: 1,
          failures: 0,
          error: fails ? { error: 'RangeError', message: 'the probe was told to fail' } : null,
        });
        const clients = [visitor.sessions];
        const expected = fails ? (events * 4) / 5 : events;
        expect(await violationsIn(cluster, { threadId, runId, clients, expected })).toEqual([]);
      }
    },
  );
});

describe('Postgres', () => {
  let cluster: Cluster;
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startPostgres();
    cluster = await startCluster({
      serverUrl: postgres.url,
      // Without Redis there is no archiver, which waits with rows of one thread in hand for those of another: the
      // ten ends are held up by nothing but the test.
      redis: false,
      // The lock of the test holds up renewals as well: that is not to cost a lease.
      env: { ...PATIENT, WORKER_HEARTBEAT_TTL: '30' },
    });
  });
  afterAll(async () => {
    await cluster.stop();
    await postgres.stop();
  });

  test('[61] Postgres down for 3 s exactly when 10 runs finish: each terminal transaction is retried under its term', async () => {
    const plans = Array.from({ length: 10 }, (): Plan => ({ steps: 1, events: 600, eventMs: 10 }));
    const runs = await beginAll(cluster, plans);
    const ids = runs.map(({ runId }) => runId);
    for (const { visitor } of runs) await visitor.now.until(100);
    // Holds their ends: when all ten wait for it, Postgres dies under ten open terminal transactions.
    const release = await lockRows(cluster.pool, 'runs', ids);
    for (const runId of ids) expect((await cluster.row(runId)).status).toBe('running');
    await waitUntil(
      async () => {
        const { rows } = await cluster.pool.query<{ count: number }>(
          `SELECT count(*) FROM pg_stat_activity
           WHERE wait_event_type = 'Lock' AND query LIKE '%t.active_runs, r.cancel_action%'`,
        );
        return rows[0]?.count === 10;
      },
      { timeoutMs: 60_000, what: 'ten terminal transactions' },
    );
    const before = await Promise.all(ids.map((runId) => cluster.row(runId)));
    await postgres.kill();
    await release();
    const output = (): string => cluster.workers.get('w1')?.output() ?? '';
    // Tried again after 50, 100, 200, 400, 800, 1,000 ms, …: six times are 2.5 s.
    const tries = (runId: string): number => output().split(`trouble: end run ${runId}`).length - 1;
    await waitUntil(() => ids.every((runId) => tries(runId) >= 6), {
      timeoutMs: 60_000,
      what: 'six tries of each',
    });
    await postgres.restart();
    for (const { visitor } of runs) await visitor.now.end();
    for (const [i, { threadId, runId, visitor }] of runs.entries()) {
      const { status, attempt, term } = await cluster.row(runId);
      expect({ status, attempt, term }).toEqual({
        status: 'success',
        attempt: 1,
        term: before[i]?.term,
      });
      const clients = [visitor.sessions];
      expect(await violationsIn(cluster, { threadId, runId, clients, expected: 600 })).toEqual([]);
    }
  });
});
