/** A webhook from the run's end to the receiver, whatever the receiver does. */
import { createHmac } from 'node:crypto';
import { transaction } from '../../../src/postgres/pool.ts';
import { claimDelivery, deleteOldDeliveries } from '../../../src/webhooks/deliveries.ts';
import { createCoreBeside } from '../../support/core-beside.ts';
import { playRun } from '../../support/play-run.ts';
import { hang, startReceiver, status, switchProtocols } from '../../support/receiver.ts';
import type { Receiver } from '../../support/receiver.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

const ATTEMPTS_MAX = 4;
const SECRET = 'a secret of our own';
const WAIT = { timeoutMs: 20_000 };

interface Delivery {
  delivery_id: string;
  run_id: string;
  url: string;
  status: string;
  attempts: number;
  next_attempt_at: string | null;
  response_status: number | null;
  last_error: string | null;
}

let app: TestServer;
let receiver: Receiver;
beforeAll(async () => {
  app = await startTestServer({
    redis: false,
    worker: false,
    environment: {
      WEBHOOK_ALLOW: '127.0.0.1',
      WEBHOOK_SECRET: SECRET,
      // Only who never answers is ever waited for so long: a late answer is a second delivery.
      // Not a whole number of ms, as 1.005 is none.
      WEBHOOK_TIMEOUT_SECS: '10.0005',
      WEBHOOK_RETRY_SECS: '0.05',
      WEBHOOK_MAX_ATTEMPTS: String(ATTEMPTS_MAX),
      SWEEPER_INTERVAL: '0.05',
    },
  });
  receiver = await startReceiver();
});
afterAll(async () => {
  await app.stop();
  await receiver.stop();
});
beforeEach(() => {
  receiver.received.length = 0;
  receiver.answers.length = 0;
});

async function createRun(webhook: string, given: object = {}): Promise<Record<string, string>> {
  const answer = await app.call('POST', '/runs', {
    assistant_id: 'test',
    on_completion: 'keep',
    webhook,
    ...given,
  });
  return answer.json() as Record<string, string>;
}

/** Ends a new run. @returns its id */
async function end(
  webhook: string,
  ending: Parameters<Awaited<ReturnType<typeof playRun>>['end']>[0] = {},
): Promise<string> {
  const { run_id: runId = '' } = await createRun(webhook);
  const run = await playRun(app, runId);
  await run.end({ webhook: { url: webhook, values: true }, ...ending });
  return runId;
}

async function deliveriesOf(runId: string): Promise<Delivery[]> {
  return (await app.call('GET', `/webhooks/deliveries?run_id=${runId}`)).json() as Delivery[];
}

const settled = (runId: string, wait = WAIT): Promise<Delivery> =>
  waitUntil(
    async () => (await deliveriesOf(runId)).find((delivery) => delivery.status !== 'pending'),
    wait,
  );

test('the body is the run and what became of it, signed', async () => {
  const runId = await end(`${receiver.url}/a`, {
    state: { values: '{"messages":[{"type":"human","content":"hi \\u0000"}]}', interrupts: '{}' },
  });
  await settled(runId);
  expect(receiver.received).toHaveLength(1);
  const [{ headers, body, text }] = receiver.received as [Receiver['received'][number]];
  expect(headers['content-type']).toBe('application/json');
  const run = (
    await app.call('GET', `/threads/${String(body['thread_id'])}/runs/${runId}`)
  ).json() as Record<string, unknown>;
  const { run_started_at: started, run_ended_at: ended, webhook_sent_at: sent, ...rest } = body;
  expect(rest).toEqual({
    ...run,
    values: { messages: [{ type: 'human', content: 'hi \0' }] },
  });
  expect(run['status']).toBe('success');
  for (const date of [started, ended, sent])
    expect(date).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  expect(String(started) <= String(ended) && String(ended) <= String(sent)).toBe(true);

  const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${text}`;
  expect(headers['webhook-signature']).toBe(
    `v1,${createHmac('sha256', SECRET).update(signed).digest('base64')}`,
  );
  expect(await deliveriesOf(runId)).toMatchObject([
    {
      delivery_id: headers['webhook-id'],
      status: 'delivered',
      attempts: 1,
      response_status: 200,
      last_error: null,
      next_attempt_at: null,
    },
  ]);
});

test('an error comes with its message and without values', async () => {
  const error = { error: 'TypeError', message: 'wrong \0 "thing"' };
  await settled(await end(`${receiver.url}/error`, { status: 'error', error }));
  expect(receiver.received[0]?.body).toMatchObject({ status: 'error', error: error.message });
  expect(receiver.received[0]?.body).not.toHaveProperty('values');
});

test('a receiver that wants to speak another protocol has not answered', async () => {
  receiver.answers.push(switchProtocols);
  const delivery = await settled(await end(`${receiver.url}/upgrade`));
  expect(delivery).toMatchObject({ status: 'delivered', attempts: 2 });
});

test('a receiver that fails, redirects and hangs gets the delivery again, under the same id', async () => {
  receiver.answers.push(
    status(500, {}, 'out of order'),
    status(302, { location: `${receiver.url}/elsewhere` }),
    hang,
  );
  const runId = await end(`${receiver.url}/again`);
  // One attempt lasts as long as WEBHOOK_TIMEOUT_SECS.
  const delivery = await settled(runId, { timeoutMs: 40_000 });
  expect(delivery).toMatchObject({ status: 'delivered', attempts: ATTEMPTS_MAX });
  expect(receiver.of('/again')).toHaveLength(ATTEMPTS_MAX);
  expect(receiver.of('/elsewhere')).toEqual([]);
  expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
});

test('after its last attempt a delivery is dead, says why, and can be replayed', async () => {
  for (let i = 0; i < ATTEMPTS_MAX; i++) receiver.answers.push(status(503, {}, 'no room\0'));
  const runId = await end(`${receiver.url}/dead`);
  const dead = await settled(runId);
  expect(dead).toMatchObject({
    status: 'dead',
    attempts: ATTEMPTS_MAX,
    response_status: 503,
    last_error: 'answered 503: no room',
  });
  expect(receiver.received).toHaveLength(ATTEMPTS_MAX);
  const list = await app.call('GET', `/webhooks/deliveries?status=dead&run_id=${runId}`);
  expect(list.json()).toEqual([dead]);

  const replayed = await app.call('POST', `/webhooks/deliveries/${dead.delivery_id}/replay`);
  expect(replayed.status).toBe(200);
  expect(replayed.json()).toMatchObject({ status: 'pending', attempts: 0 });
  expect(await settled(runId)).toMatchObject({ status: 'delivered', attempts: 1 });
  const ids = receiver.received.map(({ headers }) => headers['webhook-id']);
  expect(ids).toEqual(Array.from({ length: ATTEMPTS_MAX + 1 }, () => dead.delivery_id));
});

test('410 Gone ends it at once', async () => {
  receiver.answers.push(status(410));
  expect(await settled(await end(`${receiver.url}/gone`))).toMatchObject({
    status: 'dead',
    attempts: 1,
  });
});

test('internal addresses that are not allowed are never connected to', async () => {
  const port = new URL(receiver.url).port;
  for (const host of ['[::1]', '127.0.0.2', '169.254.169.254']) {
    const delivery = await settled(await end(`http://${host}:${port}/internal`));
    expect(delivery).toMatchObject({ status: 'dead', attempts: 1, response_status: null });
    expect(delivery.last_error).toContain('WEBHOOK_ALLOW');
  }
  expect(receiver.received).toEqual([]);
});

test('a path is delivered to this server', async () => {
  const delivery = await settled(await end('/no/such/hook'));
  expect(delivery).toMatchObject({ status: 'dead', response_status: 404 });
  expect(delivery.last_error).toBe('answered 404: 404 Not Found');
});

test.each([
  'ftp://host/',
  'hook',
  '//host/hook',
  '/\\host',
  '/\t/host',
  '/\n\\host',
  'http://',
  'http:host',
  'http:/host/hook',
  'ht\ttp://host',
])('%j is refused with the run', async (webhook) => {
  const answer = await app.call('POST', '/runs', { assistant_id: 'test', webhook });
  expect(answer.status).toBe(400);
  expect(answer.text).toContain('webhook');
});

test('a run that was cancelled while pending, or rolled back, tells nobody', async () => {
  const pending = await createRun(`${receiver.url}/none`);
  const place = `/threads/${String(pending['thread_id'])}/runs/${String(pending['run_id'])}`;
  expect((await app.call('POST', `${place}/cancel?wait=1`)).status).toBe(204);
  const rolledBack = await createRun(`${receiver.url}/none`);
  await (await playRun(app, String(rolledBack['run_id']))).rollBack();
  for (const runId of [pending['run_id'], rolledBack['run_id']])
    expect(await deliveriesOf(String(runId))).toEqual([]);
});

test('what a dead process had claimed is sent by another', async () => {
  const { pool } = app.core;
  // Not due, so that only this test claims it.
  const runId = await end(`${receiver.url}/hang`);
  await pool.query(
    `UPDATE webhook_deliveries SET next_attempt_at = now() + interval '1 h', claims = claims + 1, attempts = 1,
       url = $2 WHERE run_id = $1`,
    [runId, `${receiver.url}/taken-over`],
  );
  expect(receiver.of('/taken-over')).toEqual([]);
  // Its time is over.
  await pool.query('UPDATE webhook_deliveries SET next_attempt_at = now() WHERE run_id = $1', [
    runId,
  ]);
  expect(await settled(runId)).toMatchObject({ status: 'delivered', attempts: 2 });
});

test('a delivery whose attempts were all lost with their processes is dead, and nothing is sent', async () => {
  const { pool } = app.core;
  const runId = await end(`${receiver.url}/hang`);
  await pool.query(
    `UPDATE webhook_deliveries SET next_attempt_at = now(), claims = claims + 1, attempts = $2, url = $3
     WHERE run_id = $1`,
    [runId, ATTEMPTS_MAX, `${receiver.url}/lost`],
  );
  expect(await settled(runId)).toMatchObject({ status: 'dead', attempts: ATTEMPTS_MAX });
  expect(receiver.of('/lost')).toEqual([]);
});

test('several processes send each delivery once', async () => {
  const beside = [await createCoreBeside(app), await createCoreBeside(app)];
  try {
    const [first = ''] = await Promise.all(
      Array.from({ length: 60 }, () => end(`${receiver.url}/once`)),
    );
    expect(await deliveriesOf(first)).toHaveLength(1);
    const delivered = async (): Promise<boolean> => {
      const { rows } = await app.core.pool.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM webhook_deliveries WHERE url = $1 AND status = 'delivered'`,
        [`${receiver.url}/once`],
      );
      return rows[0]?.n === 60;
    };
    await waitUntil(delivered, WAIT);
    // All of them are due at the same moment, for all processes.
    for (const core of beside) await core.start();
    receiver.received.length = 0;
    await app.core.pool.query(
      `UPDATE webhook_deliveries SET status = 'pending', attempts = 0, claims = claims + 1, next_attempt_at = now()
       WHERE url = $1`,
      [`${receiver.url}/once`],
    );
    await waitUntil(delivered, WAIT);
    const ids = receiver.of('/once').map(({ headers }) => headers['webhook-id']);
    expect(new Set(ids).size).toBe(60);
    expect(ids).toHaveLength(60);
  } finally {
    for (const core of beside) await core.stop();
  }
});

test('settled deliveries are removed in the end, pending ones never', async () => {
  const { pool } = app.core;
  // In one transaction: the process' own sweeper removes them, too.
  await transaction(pool, async (db) => {
    await db.query(
      `INSERT INTO webhook_deliveries (delivery_id, run_id, thread_id, url, run, status, updated_at, next_attempt_at)
       SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'http://old/', '{}', s, now() - age, now() + interval '1 h'
       FROM unnest(ARRAY['pending', 'delivered', 'dead']) s, unnest(ARRAY[interval '8 days', interval '6 days']) age`,
    );
    expect(await deleteOldDeliveries(db)).toBe(2);
  });
  const { rows } = await pool.query(
    `SELECT status, count(*)::int AS n FROM webhook_deliveries WHERE host = 'old' GROUP BY status ORDER BY status`,
  );
  expect(rows).toEqual([
    { status: 'dead', n: 1 },
    { status: 'delivered', n: 1 },
    { status: 'pending', n: 2 },
  ]);
});

test('a claim is one process’ alone', async () => {
  const claim = { leaseMs: 60_000, attemptsMax: 3, busyHosts: [], paths: true };
  const { pool } = app.core;
  await pool.query(
    `INSERT INTO webhook_deliveries (delivery_id, run_id, thread_id, url, run, next_attempt_at)
     SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'http://claimed/', '{}', now() + interval '1 h'
     FROM generate_series(1, 5)`,
  );
  await app.core.webhooks.stop();
  await pool.query(`UPDATE webhook_deliveries SET next_attempt_at = now() WHERE host = 'claimed'`);
  const first = await transaction(pool, async (db) => {
    const one = await claimDelivery(db, claim);
    // Another process gets another one, and does not wait for this one's commit.
    const ids = [one, await claimDelivery(pool, claim), await claimDelivery(pool, claim)].map(
      (delivery) => delivery?.delivery_id,
    );
    expect(new Set(ids).size).toBe(3);
    expect(ids).not.toContain(undefined);
    return one;
  });
  const rest = [await claimDelivery(pool, claim), await claimDelivery(pool, claim)];
  expect(rest.map((delivery) => delivery?.delivery_id)).not.toContain(first?.delivery_id);
  // All five are in somebody's hands.
  expect(await claimDelivery(pool, claim)).toBeUndefined();
  await pool.query(`UPDATE webhook_deliveries SET next_attempt_at = now() WHERE host = 'claimed'`);
  expect(await claimDelivery(pool, { ...claim, busyHosts: ['claimed'] })).toBeUndefined();
});
