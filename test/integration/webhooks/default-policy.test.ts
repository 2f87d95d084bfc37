/** Without configuration nothing internal is connected to. */
import { startReceiver } from '../../support/receiver.ts';
import { playRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

/** Written before they were refused, or by who else writes runs: the second two look like paths and like nothing. */
const refused = ['http://127.0.0.1', 'http://localhost', 'http:127.0.0.1', '/\t/127.0.0.1'];

test.each(refused)('%j is refused by default', async (begin) => {
  const receiver = await startReceiver();
  const app = await startTestServer({ redis: false, worker: false });
  try {
    const webhook = receiver.url.replace('http://127.0.0.1', begin);
    const created = await app.call('POST', '/runs', { assistant_id: 'test' });
    const { run_id: runId } = created.json() as { run_id: string };
    await (await playRun(app, runId)).end({ webhook: { url: webhook, values: false } });
    const delivery = await waitUntil(
      async () => {
        const list = await app.call('GET', `/webhooks/deliveries?run_id=${runId}&status=dead`);
        return (list.json() as { last_error: string; attempts: number }[])[0];
      },
      { timeoutMs: 20_000 },
    );
    expect(delivery.last_error).toMatch(/internal address.*WEBHOOK_ALLOW/);
    expect(delivery.attempts).toBe(1);
    expect(receiver.received).toEqual([]);
  } finally {
    await app.stop();
    await receiver.stop();
  }
});
