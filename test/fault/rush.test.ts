/** Many at once: more runs than slots, and joins at a process that has only just started. */
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { watchDelivery } from '../support/delivery.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { violationsIn } from '../support/verify.ts';
import { openVisitor } from '../support/visitor.ts';
import type { Visitor } from '../support/visitor.ts';
import { waitUntil } from '../support/wait-until.ts';

const SLOTS = 4;
/** A stream whose events take longer than this from the log to the client stands still. */
const STALL_MS_MAX = 1_500;

let cluster: Cluster;
let line: TcpProxy;
beforeAll(async () => {
  cluster = await startCluster({ env: { ...PATIENT, N_JOBS_PER_WORKER: String(SLOTS) } });
  line = await startTcpProxy({ port: cluster.redis.port });
});
afterEach(() => {
  // Of a test that failed in between.
  line.flow('down');
  for (const worker of cluster.workers.values()) worker.thaw();
});
afterAll(async () => {
  await cluster.stop();
  await line.close();
});

const streamOf = (base: string, run: { threadId: string; runId: string }): string =>
  `${base}/threads/${run.threadId}/runs/${run.runId}/stream`;

test('[62] 40 streamed runs on one worker with 4 slots: the rest wait as pending, run in order, and all end', async () => {
  const runs: { threadId: string; runId: string; expected: number }[] = [];
  const visitors: Visitor[] = [];
  // Until all are there: the first are not to be over before the last are made.
  const worker = cluster.workers.get('w1');
  worker?.freeze();
  for (let i = 0; i < 40; i++) {
    const threadId = await cluster.createThread();
    const runId = await cluster.createRun(threadId, { steps: 2, events: 10, eventMs: 15 });
    const run = { threadId, runId, expected: 20 };
    runs.push(run);
    visitors.push(openVisitor(streamOf(cluster.url, run)));
  }
  worker?.thaw();
  const most = { running: 0, pending: 0 };
  await waitUntil(
    async () => {
      const { rows } = await cluster.pool.query<{ running: number; pending: number }>(
        `SELECT count(*) FILTER (WHERE status = 'running') AS running,
           count(*) FILTER (WHERE status = 'pending') AS pending FROM runs`,
      );
      most.running = Math.max(most.running, rows[0]?.running ?? 0);
      most.pending = Math.max(most.pending, rows[0]?.pending ?? 0);
      return visitors.every(({ now }) => now.ended);
    },
    { timeoutMs: 120_000, what: 'all streams to end' },
  );
  expect(most.running).toBe(SLOTS);
  expect(most.pending).toBeGreaterThan(20);
  for (const [i, run] of runs.entries())
    expect(await violationsIn(cluster, { ...run, clients: [visitors[i]?.sessions ?? []] })).toEqual(
      [],
    );

  const { rows } = await cluster.pool.query<{ run_id: string }>(
    'SELECT run_id FROM runs ORDER BY started_at',
  );
  const started = rows.map(({ run_id: runId }) => runId);
  // Slots that fall free at the same moment may swap what they take.
  const displaced = runs.map(({ runId }, i) => Math.abs(started.indexOf(runId) - i));
  expect(Math.max(...displaced)).toBeLessThanOrEqual(SLOTS);
});

test.each([
  ['and Redis answers', false],
  ['and Redis answers only later', true],
])(
  '[59] 40 joins at once, right after the process has started %s: none is refused, none stands still',
  async (_, late) => {
    const runs = await Promise.all(
      Array.from({ length: SLOTS }, async () => {
        const threadId = await cluster.createThread();
        const runId = await cluster.createRun(threadId, {
          steps: 5,
          events: late ? 60 : 30,
          eventMs: 20,
        });
        const delivery = watchDelivery(cluster, threadId);
        return { threadId, runId, expected: late ? 300 : 150, delivery };
      }),
    );
    for (const run of runs)
      await waitUntil(async () => (await cluster.row(run.runId)).status === 'running', {
        timeoutMs: 30_000,
      });
    if (late) line.hold('down');
    const { url } = await cluster.startServer({ REDIS_URL: `redis://127.0.0.1:${line.port}` });
    const visits = Array.from({ length: 40 }, (_visit, i) => {
      const run = runs[i % runs.length];
      if (run === undefined) throw new Error('no run');
      return { run, visitor: openVisitor(streamOf(url, run)) };
    });
    for (const { visitor } of visits) await visitor.now.until(20);
    // 40 joins have asked for their subscriptions: now the subscriber comes up under them.
    line.flow('down');
    for (const { visitor } of visits) await visitor.now.end();
    expect(visits.map(({ visitor }) => visitor.now.status)).toEqual(visits.map(() => 200));
    for (const { run, visitor } of visits)
      expect(await violationsIn(cluster, { ...run, clients: [visitor.sessions] })).toEqual([]);
    for (const { delivery } of runs) await delivery.stop();
    for (const { run, visitor } of visits)
      expect(run.delivery.worstMs(visitor.now)).toBeLessThan(
        STALL_MS_MAX + run.delivery.standstillMs(),
      );
  },
);
