/** Receivers that never answer, with all the time in the world: the others, and a process that stops. */
import { playRun } from '../../support/play-run.ts';
import { startReceiver } from '../../support/receiver.ts';
import type { Receiver } from '../../support/receiver.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

const WAIT = { timeoutMs: 20_000 };

let app: TestServer;
let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver();
  app = await startTestServer({
    redis: false,
    worker: false,
    environment: { WEBHOOK_ALLOW: '*', WEBHOOK_TIMEOUT_SECS: '600', WEBHOOK_CONCURRENCY: '6' },
  });
});
afterAll(async () => {
  await app.stop();
  await receiver.stop();
});

async function end(webhook: string): Promise<void> {
  const created = await app.call('POST', '/runs', { assistant_id: 'test', webhook });
  const { run_id: runId } = created.json() as { run_id: string };
  await (await playRun(app, runId)).end({ webhook: { url: webhook, values: false } });
}

async function pendingCount(): Promise<number | undefined> {
  const { rows } = await app.core.pool.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM webhook_deliveries WHERE status = 'pending'`,
  );
  return rows[0]?.n;
}

test('a receiver that hangs does not hold up the others', async () => {
  // One after the other, and more than the process has under way at once.
  for (let i = 0; i < 8; i++) {
    await end(`${receiver.url}/hang`);
    await waitUntil(() => receiver.of('/hang').length >= Math.min(i + 1, 4), WAIT);
  }
  const other = await startReceiver();
  try {
    await end(`${other.url}/quick`);
    await waitUntil(() => other.received.length === 1, WAIT);
    // Its answer is written down a moment after it was given.
    await waitUntil(async () => (await pendingCount()) === 8, WAIT);
  } finally {
    await other.stop();
  }
});

test('a process that stops gives back what a receiver has not answered, for the next one', async () => {
  expect(receiver.of('/hang').length).toBeGreaterThan(0);
  const startedAt = Date.now();
  await app.core.webhooks.stop();
  expect(Date.now() - startedAt).toBeLessThan(5_000);
  const { rows } = await app.core.pool.query<{ attempts: number; due: boolean }>(
    `SELECT attempts, next_attempt_at <= now() AS due FROM webhook_deliveries WHERE status = 'pending'`,
  );
  expect(rows).toEqual(Array.from({ length: 8 }, () => ({ attempts: 0, due: true })));
});
