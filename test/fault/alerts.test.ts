/**
 * Alerts of docker/prometheus/alerts.yml are brought about in a real deployment, fire in a real Prometheus, and end when
 * the runbook is followed; which of them, it says. Time: test/support/prometheus.ts.
 */
import { keepDoing, LONG, SHORT, startAlerts, WAIT_MS } from '../support/alerts.ts';
import type { Alerts } from '../support/alerts.ts';
import { describeWith } from '../support/programs.ts';
import { waitUntil } from '../support/wait-until.ts';

describeWith('prometheus', 'prometheus', 'alerts', (binary) => {
  let alerts: Alerts;
  beforeAll(async () => {
    alerts = await startAlerts(binary, ['w1', 'w2']);
  });
  afterAll(() => alerts.stop());
  afterEach(() => alerts.cancelAll());

  test('workers stand still, die, and are away', async () => {
    const { cluster } = alerts;
    for (let n = 0; n < 8; n++) await alerts.begin(LONG);
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
    await alerts.fire('MillraceFenced', 'MillraceRunsLost');

    await waitUntil(async () => (await holders()).length === 8, { timeoutMs: WAIT_MS });
    for (const worker of workers) await worker.kill();
    await alerts.fire('MillraceDown', 'MillraceNoWorkers', 'MillraceQueueStuck');
    await alerts.startWorkers('w1', 'w2');
    await alerts.cancelAll();
    await alerts.end('MillraceDown', 'MillraceNoWorkers', 'MillraceQueueStuck');
    await alerts.end('MillraceFenced', 'MillraceRunsLost');
  });

  test('runs fail, and one stands still on its worker', async () => {
    const stop = keepDoing(() => alerts.begin({ ...SHORT, atStep: 0, then: 'fail' }), 500);
    await alerts.begin({ steps: 500, events: 1, eventMs: 100, spinMs: 700 });
    await alerts.fire('MillraceRunsFailing', 'MillraceEventLoopSlow');
    await stop();
    await alerts.cancelAll();
    const good = keepDoing(() => alerts.begin(SHORT), 500);
    await alerts.end('MillraceRunsFailing', 'MillraceEventLoopSlow');
    await good();
  });

  test('Redis is away, and is full', async () => {
    const { cluster } = alerts;
    await cluster.redis.kill();
    await alerts.fire('MillraceTroubles');
    await cluster.redis.restart();
    await alerts.end('MillraceTroubles');
    // noeviction: it refuses to write.
    await cluster.redis.command('CONFIG', 'SET', 'maxmemory', '1');
    const runs = keepDoing(() => alerts.begin(SHORT), 300);
    await alerts.fire('MillraceTroubles');
    await cluster.redis.command('CONFIG', 'SET', 'maxmemory', '0');
    await alerts.end('MillraceTroubles');
    await runs();
  });
});
