/**
 * Alerts about what is given up and what is lost are brought about in a real deployment, fire in a real Prometheus, and end
 * when the runbook is followed. The rules' time: test/support/prometheus.ts.
 */
import { runbookSql, SHORT, startAlerts, WAIT_MS } from '../support/alerts.ts';
import type { Alerts } from '../support/alerts.ts';
import { rewindsIn } from '../support/checker.ts';
import { PATIENT } from '../support/cluster.ts';
import { deafenArchivers } from '../support/deaf-archivers.ts';
import { describeWith } from '../support/programs.ts';
import { startReceiver } from '../support/receiver.ts';
import type { Receiver } from '../support/receiver.ts';
import { waitUntil } from '../support/wait-until.ts';

/** A run that is there until it is cancelled, and hardly a burden. */
const WAITING = { steps: 1, events: 2_000, eventMs: 500 };

describeWith('prometheus', 'prometheus', 'alerts about losses', (binary) => {
  let alerts: Alerts;
  let receiver: Receiver;

  beforeAll(async () => {
    receiver = await startReceiver();
    alerts = await startAlerts(binary, ['w1'], {
      env: {
        ...PATIENT,
        WEBHOOK_ALLOW: '127.0.0.1',
        WEBHOOK_MAX_ATTEMPTS: '2',
        // Longer than the file takes: who goes on sooner does so because the runbook was followed.
        WEBHOOK_RETRY_SECS: '3600',
      },
    });
  });
  afterEach(() => alerts.cancelAll());
  afterAll(async () => {
    await alerts.stop();
    await receiver.stop();
  });

  const post = async (path: string, body?: unknown): Promise<unknown> => {
    const answer = await alerts.cluster.request('POST', path, body);
    expect(answer.status).toBe(200);
    return answer.body;
  };

  /** Hastens what the group `dead` waits for. @returns whether something of it was given up */
  async function buried(): Promise<boolean> {
    const { pool } = alerts.cluster;
    await pool.query(
      `UPDATE consumer_group_positions SET next_attempt_at = now() WHERE attempts = 1 AND last_error IS NOT NULL
         AND group_id = (SELECT group_id FROM consumer_groups WHERE name = 'dead')`,
    );
    return (await pool.query('SELECT 1 FROM consumer_group_dead_letters')).rowCount !== 0;
  }

  test('webhooks, consumer groups and crons are given up, and a backlog wants more workers', async () => {
    const { cluster } = alerts;
    for (const path of ['/late', '/dead']) {
      receiver.statuses.set(path, 503);
      await post('/consumer-groups', { name: path.slice(1), url: receiver.url + path });
    }
    receiver.statuses.set('/gone', 410);
    await alerts.begin(SHORT, { webhook: `${receiver.url}/gone` });
    // Nine threads for the eight slots of one worker; and a cron that may not wait, on one that is busy.
    for (let n = 1; n < 9; n++) await alerts.begin(WAITING);
    const { threadId } = await alerts.begin(WAITING);
    const cron = (await post(`/threads/${threadId}/runs/crons`, {
      assistant_id: 'probe',
      schedule: '0 0 1 1 *',
      input: { plan: SHORT },
      multitask_strategy: 'reject',
    })) as { cron_id: string };
    await cluster.pool.query(`UPDATE crons SET next_run_date = now() - interval '1 s'`);
    await Promise.all([
      alerts.fire('MillraceWebhooksDead', 'MillraceCronsFailing'),
      alerts.fire('MillraceConsumerGroupLag', 'MillraceConsumerGroupDead'),
      alerts.fire('MillraceWorkersMissing'),
      waitUntil(buried, { timeoutMs: WAIT_MS, what: 'a dead letter' }),
    ]);

    receiver.statuses.clear();
    await alerts.startWorkers('w2');
    await alerts.end('MillraceWorkersMissing');
    await alerts.cancelAll();
    await cluster.pool.query(runbookSql('MillraceConsumerGroupLag'));
    await post('/consumer-groups/dead/dead-letters/replay');
    await alerts.end('MillraceConsumerGroupLag', 'MillraceConsumerGroupDead');
    const { body: dead } = await cluster.request('GET', '/webhooks/deliveries?status=dead');
    for (const { delivery_id: id } of dead as { delivery_id: string }[])
      await post(`/webhooks/deliveries/${id}/replay`);
    await waitUntil(() => receiver.of('/gone').length > 1, { timeoutMs: WAIT_MS });
    const removed = await cluster.request('DELETE', `/runs/crons/${cron.cron_id}`);
    expect(removed.status).toBe(204);
  });

  test('Redis and a worker are lost together, with events that readers have seen', async () => {
    const { cluster, prometheus } = alerts;
    const counted = 'sum(millrace_rewinds_total)';
    await waitUntil(async () => (await prometheus.query(counted))['{}'] === 0, {
      timeoutMs: WAIT_MS,
      what: 'no reader to be counted',
    });
    // One step: a checkpoint would take its events to Postgres.
    const { threadId, runId } = await alerts.begin({ steps: 1, events: 130, eventMs: 150 });
    const steady = cluster.join(threadId, runId);
    const early = cluster.join(threadId, runId);
    await steady.until(5);
    await deafenArchivers(cluster, threadId);
    const heard = steady.events.length;
    await steady.until(heard + 20);
    await early.until(heard + 20);
    early.cut();
    const name = await cluster.workerOf(runId);
    const worker = cluster.workers.get(name);
    // Else it sends them again, or another takes them from Redis in time.
    worker?.freeze();
    await cluster.redis.flushall();
    await worker?.kill();
    const late = cluster.join(threadId, runId, early.lastId());
    await late.until(1);
    await alerts.startWorkers(name);
    await alerts.fire('MillraceRewinds');
    await steady.end(WAIT_MS);
    await late.end(WAIT_MS);
    expect([steady, late].map((client) => rewindsIn([client]))).toEqual([1, 1]);
    await waitUntil(async () => (await prometheus.query(counted))['{}'] === 2, {
      timeoutMs: WAIT_MS,
      what: 'both readers to be counted',
    });
    // The others are of the test before: what they look back at is over, too.
    await alerts.end('MillraceRewinds', 'MillraceWebhooksDead', 'MillraceCronsFailing');
  });
});
