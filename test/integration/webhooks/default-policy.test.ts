/** Without configuration nothing internal is connected to. */
import { startReceiver } from '../../support/receiver.ts';
import { playRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

test.each(['127.0.0.1', 'localhost'])('%s is refused by default', async (host) => {
  const receiver = await startReceiver();
  const app = await startTestServer({ redis: false, worker: false });
  try {
    const webhook = receiver.url.replace('127.0.0.1', host);
    const created = await app.call('POST', '/runs', { assistant_id: 'test', webhook });
    const { run_id: runId } = created.json() as { run_id: string };
    await (await playRun(app, runId)).end({ webhook: { url: webhook, values: false } });
    const delivery = await waitUntil(
      async () => {
        const list = await app.call('GET', `/webhooks/deliveries?run_id=${runId}&status=dead`);
        return (list.json() as { last_error: string; attempts: number }[])[0];
      },
      { timeoutMs: 10_000 },
    );
    expect(delivery.last_error).toMatch(/internal address.*WEBHOOK_ALLOW/);
    expect(delivery.attempts).toBe(1);
    expect(receiver.received).toEqual([]);
  } finally {
    await app.stop();
    await receiver.stop();
  }
});
