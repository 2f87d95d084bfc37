import { playRun } from '../../support/play-run.ts';
import { startReceiver } from '../../support/receiver.ts';
import { startTestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

test('a process that stops gives back what a receiver has not answered, for the next one', async () => {
  const receiver = await startReceiver();
  const app = await startTestServer({
    redis: false,
    worker: false,
    environment: { WEBHOOK_ALLOW: '*', WEBHOOK_TIMEOUT_SECS: '600' },
  });
  try {
    const webhook = `${receiver.url}/hang`;
    const created = await app.call('POST', '/runs', { assistant_id: 'test', webhook });
    const { run_id: runId } = created.json() as { run_id: string };
    await (await playRun(app, runId)).end({ webhook: { url: webhook, values: false } });
    await waitUntil(() => receiver.received.length === 1, { timeoutMs: 10_000 });

    const startedAt = Date.now();
    await app.core.webhooks.stop();
    expect(Date.now() - startedAt).toBeLessThan(5_000);
    const { rows } = await app.core.pool.query(
      'SELECT status, attempts, next_attempt_at <= now() AS due FROM webhook_deliveries',
    );
    expect(rows).toEqual([{ status: 'pending', attempts: 0, due: true }]);
  } finally {
    await app.stop();
    await receiver.stop();
  }
});
