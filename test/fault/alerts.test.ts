/**
 * Alerts of docker/prometheus/alerts.yml are brought about in a real deployment, fire in a real Prometheus, and end when
 * the runbook is followed; which of them, it says. Time: test/support/prometheus.ts.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../../src/lib/free-port.ts';
import { startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import type { Plan } from '../support/fault-project/probe.ts';
import { describeWith } from '../support/programs.ts';
import { startPrometheus } from '../support/prometheus.ts';
import type { Prometheus } from '../support/prometheus.ts';
import { waitUntil } from '../support/wait-until.ts';

const WAIT_MS = 100_000;
/** A run that is there until it is cancelled or the file ends. */
const LONG: Plan = { steps: 2_000, events: 2, eventMs: 100 };
const SHORT: Plan = { steps: 1, events: 3 };

describeWith('prometheus', 'prometheus', 'alerts', (binary) => {
  let cluster: Cluster;
  let prometheus: Prometheus;
  const ports = { server: 0, w1: 0, w2: 0 };
  /** Runs that were begun and may go on. */
  const begun = new Map<string, string>();

  beforeAll(async () => {
    ports.w1 = await freePort();
    ports.w2 = await freePort();
    cluster = await startCluster({ workers: 0, env: { N_JOBS_PER_WORKER: '8' } });
    ports.server = Number(new URL(cluster.url).port);
    prometheus = await startPrometheus(binary);
    await Promise.all([work('w1'), work('w2')]);
    prometheus.scrape('millrace-server', [ports.server]);
    prometheus.scrape('millrace-worker', [ports.w1, ports.w2]);
    await waitUntil(async () => (await prometheus.query('sum(up) == 3'))['{}'] === 3, {
      timeoutMs: WAIT_MS,
      what: 'three processes to be scraped',
    });
  }, 90_000);
  afterAll(async () => {
    await prometheus.stop();
    await cluster.stop();
  });
  afterEach(cancelAll);

  const work = async (name: 'w1' | 'w2'): Promise<void> => {
    await cluster.startWorker(name, { WORKER_METRICS_PORT: String(ports[name]) });
  };

  async function begin(plan: Plan, more: Record<string, unknown> = {}): Promise<string> {
    const threadId = await cluster.createThread();
    const runId = await cluster.createRun(threadId, plan, more);
    begun.set(runId, threadId);
    return threadId;
  }

  async function cancelAll(): Promise<void> {
    const runs = [...begun];
    begun.clear();
    await Promise.all(
      runs.map(([runId, threadId]) =>
        cluster.request('POST', `/threads/${threadId}/runs/${runId}/cancel`),
      ),
    );
    const active = `SELECT 1 FROM runs WHERE status IN ('pending', 'running')`;
    await waitUntil(async () => (await cluster.pool.query(active)).rowCount === 0, {
      timeoutMs: WAIT_MS,
      what: 'the runs to be over',
    });
  }

  /** In this test. */
  const fired = new Set<string>();
  const fire = (...alerts: string[]): Promise<unknown> =>
    waitUntil(
      async () => {
        const firing = await prometheus.firing();
        for (const alert of alerts)
          if (firing.includes(alert) && !fired.has(alert)) {
            fired.add(alert);
          }
        return alerts.every((alert) => fired.has(alert));
      },
      { timeoutMs: WAIT_MS, what: `${alerts.join(' and ')} to fire` },
    );
  beforeEach(() => {
    fired.clear();
  });
  const end = (...alerts: string[]): Promise<unknown> =>
    waitUntil(
      async () => {
        const firing = await prometheus.firing();
        return alerts.every((alert) => !firing.includes(alert));
      },
      { timeoutMs: WAIT_MS, what: `${alerts.join(' and ')} to end` },
    );

  /** Does it again and again until it is told to stop; what it has begun is over then. */
  function keepDoing(what: () => Promise<unknown>, everyMs: number): () => Promise<void> {
    const over = new AbortController();
    const doing = (async () => {
      while (!over.signal.aborted) {
        await what();
        await pause(everyMs);
      }
    })();
    return async () => {
      over.abort();
      await doing;
    };
  }

  test('workers stand still, die, and are away', async () => {
    for (let n = 0; n < 8; n++) await begin(LONG);
    const running = `SELECT worker_id FROM runs WHERE status = 'running'`;
    const holders = async (): Promise<string[]> => {
      const { rows } = await cluster.pool.query<{ worker_id: string }>(running);
      return rows.map(({ worker_id: name }) => name);
    };
    await waitUntil(async () => (await holders()).length === 8, { timeoutMs: WAIT_MS });
    // Their leases lapse, and what they were doing is another's when they wake.
    const workers = [...cluster.workers.values()];
    const lost = `SELECT 1 FROM runs WHERE status = 'running'`;
    for (const worker of workers) worker.freeze();
    await waitUntil(async () => (await cluster.pool.query(lost)).rowCount === 0, {
      timeoutMs: WAIT_MS,
      what: 'their runs to be taken from them',
    });
    for (const worker of workers) worker.thaw();
    await fire('MillraceFenced', 'MillraceRunsLost');

    await waitUntil(async () => (await holders()).length === 8, { timeoutMs: WAIT_MS });
    for (const worker of workers) await worker.kill();
    await fire('MillraceDown', 'MillraceNoWorkers', 'MillraceQueueStuck');
    await Promise.all([work('w1'), work('w2')]);
    await cancelAll();
    await end('MillraceDown', 'MillraceNoWorkers', 'MillraceQueueStuck');
    await end('MillraceFenced', 'MillraceRunsLost');
  });

  test('runs fail, and one stands still on its worker', async () => {
    const stop = keepDoing(() => begin({ ...SHORT, atStep: 0, then: 'fail' }), 500);
    await begin({ steps: 500, events: 1, eventMs: 100, spinMs: 700 });
    await fire('MillraceRunsFailing', 'MillraceEventLoopSlow');
    await stop();
    await cancelAll();
    const good = keepDoing(() => begin(SHORT), 500);
    await end('MillraceRunsFailing', 'MillraceEventLoopSlow');
    await good();
  });

  test('Redis is away, and is full', async () => {
    await cluster.redis.kill();
    await fire('MillraceTroubles');
    await cluster.redis.restart();
    await end('MillraceTroubles');
    fired.clear();
    // noeviction: it refuses to write.
    await cluster.redis.command('CONFIG', 'SET', 'maxmemory', '1');
    const runs = keepDoing(() => begin(SHORT), 300);
    await fire('MillraceTroubles');
    await cluster.redis.command('CONFIG', 'SET', 'maxmemory', '0');
    await end('MillraceTroubles');
    await runs();
  });
});
