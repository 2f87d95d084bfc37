/** What happens while no client is there: crons and webhooks, through the official SDK, two servers and two workers. */
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Client } from '@langchain/langgraph-sdk';
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { startReceiver } from '../support/receiver.ts';
import type { Receiver } from '../support/receiver.ts';
import { waitUntil } from '../support/wait-until.ts';

const GRAPHS = fileURLToPath(new URL('./graphs/langgraph.json', import.meta.url));
const WAIT = { timeoutMs: 20_000 };

let cluster: Cluster;
let receiver: Receiver;
let client: Client;
/** Another server than `client`'s. */
let other: Client;
beforeAll(async () => {
  receiver = await startReceiver();
  cluster = await startCluster({
    servers: 2,
    workers: 2,
    env: {
      ...PATIENT,
      LANGGRAPH_CONFIG_PATH: GRAPHS,
      WEBHOOK_ALLOW: '127.0.0.1',
      SWEEPER_INTERVAL: '0.2',
    },
  });
  const [first, second] = cluster.servers.map(({ url }) => url);
  client = new Client({ apiUrl: first ?? '', apiKey: null });
  other = new Client({ apiUrl: second ?? '', apiKey: null });
}, 120_000);
afterAll(async () => {
  await cluster.stop();
  await receiver.stop();
}, 120_000);

const said = (text: string): { messages: object[] } => ({
  messages: [{ role: 'user', content: text }],
});

const makeDue = (cronId: string): Promise<unknown> =>
  cluster.pool.query(
    `UPDATE crons SET next_run_date = now() - interval '2 days' WHERE cron_id = $1`,
    [cronId],
  );

test('a cron is made, found, changed, counted and removed', async () => {
  const metadata = { series: randomUUID() };
  const cron = await client.crons.create('agent', {
    schedule: '0 9 * * MON-FRI',
    timezone: 'Europe/Berlin',
    input: said('hi'),
    metadata,
    endTime: '2099-01-01T00:00:00Z',
  });
  const found = await other.crons.search({ metadata, assistantId: 'agent', enabled: true });
  expect(found).toMatchObject([
    { cron_id: cron.cron_id, timezone: 'Europe/Berlin', enabled: true },
  ]);
  expect(await other.crons.count({ metadata })).toBe(1);
  const changed = await client.crons.update(cron.cron_id, { enabled: false, endTime: null });
  expect(changed).toMatchObject({ enabled: false, end_time: null, next_run_date: null });
  await client.crons.delete(cron.cron_id);
  expect(await other.crons.count({ metadata })).toBe(0);
});

test('a cron that is due after days of downtime runs once, on its thread, with a webhook', async () => {
  const { thread_id: threadId } = await client.threads.create();
  const cron = await client.crons.createForThread(threadId, 'agent', {
    // Daily, so that the next date does not come while the test looks.
    schedule: '0 3 * * *',
    input: said('on time'),
    webhook: `${receiver.url}/cron`,
  });
  await makeDue(cron.cron_id);
  const told = await waitUntil(() => receiver.of('/cron')[0], WAIT);
  expect(told.body).toMatchObject({
    thread_id: threadId,
    status: 'success',
    metadata: { cron_id: cron.cron_id },
  });
  const values = told.body['values'] as { messages: { type: string; content: string }[] };
  expect(values.messages[0]).toMatchObject({ type: 'human', content: 'on time' });
  const [state] = await other.crons.search({ threadId });
  expect(Date.parse(state?.next_run_date ?? '')).toBeGreaterThan(Date.now());
  expect(await other.runs.list(threadId)).toHaveLength(1);
  await client.crons.delete(cron.cron_id);
});

test('a stateless cron that keeps its threads makes them findable', async () => {
  const cron = await client.crons.create('agent', {
    schedule: '0 0 1 1 *',
    input: said('keep me'),
    onRunCompleted: 'keep',
  });
  await makeDue(cron.cron_id);
  const thread = await waitUntil(async () => {
    const [found] = await other.threads.search({ metadata: { cron_id: cron.cron_id } });
    return found?.status === 'idle' ? found : undefined;
  }, WAIT);
  const [run] = await other.runs.list(thread.thread_id);
  expect(run).toMatchObject({ status: 'success', metadata: { cron_id: cron.cron_id } });
});

test('with an Idempotency-Key, two servers make one run of ten requests', async () => {
  const { thread_id: threadId } = await client.threads.create();
  const keyed = cluster.servers.map(
    ({ url }) =>
      new Client({ apiUrl: url, apiKey: null, defaultHeaders: { 'Idempotency-Key': 'once' } }),
  );
  const runs = await Promise.all(
    Array.from({ length: 10 }, (_, i) =>
      (keyed[i % 2] ?? client).runs.create(threadId, 'agent', { input: said('once') }),
    ),
  );
  expect(new Set(runs.map((run) => JSON.stringify(run))).size).toBe(1);
  expect(await client.runs.list(threadId)).toHaveLength(1);
});
