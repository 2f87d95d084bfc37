/** What has outlived its time goes even when something else cannot be removed. */
import { startTestApp } from '../../support/app.ts';
import { waitUntil } from '../../support/wait-until.ts';

test('one retention that fails keeps no other from its turn', async () => {
  // Twenty sweeps are one look at what is old.
  const app = await startTestApp({
    redis: false,
    worker: false,
    environment: { SWEEPER_INTERVAL: '0.05', LOG_LEVEL: 'error' },
  });
  const { pool } = app.core;
  try {
    await pool.query('ALTER TABLE webhook_deliveries RENAME TO elsewhere');
    await pool.query(
      `INSERT INTO idempotency_keys (scope, key, body_hash, run_ids, created_at)
       VALUES ('scope', 'key', '', '{}', now() - interval '2 days')`,
    );
    await waitUntil(
      async () => (await pool.query('SELECT 1 FROM idempotency_keys')).rowCount === 0,
      { timeoutMs: 20_000, what: 'the key to go' },
    );
  } finally {
    await app.stop();
  }
});
