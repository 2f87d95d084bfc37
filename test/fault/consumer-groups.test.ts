/**
 * The process that delivers to a consumer group is killed, before the receiver has answered and after it. Every event
 * comes all the same, in the order of its thread, and what comes twice comes under the same ids.
 */
import type { ServerResponse } from 'node:http';
import { startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { startReceiver } from '../support/receiver.ts';
import type { Receiver, Received } from '../support/receiver.ts';
import { waitUntil } from '../support/wait-until.ts';

const WAIT = { timeoutMs: 40_000 };

interface Event {
  id: string;
  seq: number;
  data: unknown;
}

let cluster: Cluster;
let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver();
  // One process does everything, so that nobody else can have delivered.
  cluster = await startCluster({
    workers: 0,
    // An answer that is held back is not to time out. What a killed process has claimed is free after 5 s more.
    env: { ENABLE_WORKERS: 'false', WEBHOOK_ALLOW: '127.0.0.1', WEBHOOK_TIMEOUT_SECS: '10' },
  });
});
afterAll(async () => {
  await cluster.stop();
  await receiver.stop();
});

/** Holds the answer to the next delivery back. */
function holdNext(): Promise<ServerResponse> {
  return new Promise((resolve) => receiver.answers.push(resolve));
}

async function createGroup(name: string, threadId: string): Promise<void> {
  const url = `${receiver.url}/${name}`;
  const group = { name, url, thread_id: threadId, batch_max: 40, event_types: ['custom'] };
  const { status } = await cluster.request('POST', '/consumer-groups', group);
  expect(status).toBe(200);
}

/** Kills the only process and starts another. */
async function replace(afterDeath?: () => Promise<void>): Promise<void> {
  await cluster.servers[0]?.process.kill();
  await afterDeath?.();
  cluster.servers.splice(0);
  await cluster.startServer();
}

const eventsOf = (requests: readonly Received[]): Event[] =>
  requests.flatMap(({ body }) => body['events'] as Event[]);

/** Each event as the receiver saw it first. */
function firstSeen(name: string): Event[] {
  const seen = new Map<string, Event>();
  for (const event of eventsOf(receiver.of(`/${name}`)))
    if (!seen.has(event.id)) seen.set(event.id, event);
  return [...seen.values()];
}

async function archivedSeq(threadId: string): Promise<number> {
  const { rows } = await cluster.pool.query<{ seq: number }>(
    'SELECT archived_seq AS seq FROM threads WHERE thread_id = $1',
    [threadId],
  );
  return rows[0]?.seq ?? 0;
}

async function expectAll(name: string, threadId: string): Promise<void> {
  const { rows } = await cluster.pool.query<{ id: string; data: string }>(
    `SELECT thread_id || ':' || seq || '-' || term AS id, data FROM events
     WHERE thread_id = $1 AND type = 'custom' ORDER BY seq`,
    [threadId],
  );
  await waitUntil(() => firstSeen(name).length >= rows.length, {
    ...WAIT,
    what: `${rows.length} events`,
  });
  const got = firstSeen(name).map(({ id, data }) => ({ id, data }));
  expect(got).toEqual(rows.map(({ id, data }) => ({ id, data: JSON.parse(data) as unknown })));
}

/** What was delivered again is what was delivered, under the same `webhook-id`. */
function expectSame(first: Received | undefined, again: Received | undefined): void {
  expect(again?.headers['webhook-id']).toBe(first?.headers['webhook-id']);
  expect(again?.body).toEqual(first?.body);
}

test('[G1] killed before the answer, while the run goes on: the next process delivers the same batch again, and then the rest', async () => {
  const threadId = await cluster.createThread();
  await createGroup('before', threadId);
  const held = holdNext();
  const runId = await cluster.createRun(threadId, { steps: 4, events: 30, eventMs: 10 });
  const response = await held;
  // More is archived by now than the batch had when it was claimed.
  const sent = eventsOf(receiver.of('/before')).at(-1)?.seq ?? 0;
  await waitUntil(async () => (await archivedSeq(threadId)) > sent + 5, WAIT);
  await replace();
  response.destroy();
  await waitUntil(async () => (await cluster.row(runId)).status === 'success', WAIT);
  await expectAll('before', threadId);
  const [first, again] = receiver.of('/before');
  expectSame(first, again);
});

test('[G1] killed after the answer, before that is kept: delivered again under the same ids', async () => {
  const threadId = await cluster.createThread();
  await createGroup('after', threadId);
  const held = holdNext();
  const runId = await cluster.createRun(threadId, { steps: 2, events: 10, eventMs: 5 });
  const response = await held;
  await waitUntil(async () => (await cluster.row(runId)).status === 'success', WAIT);
  // What the answer leads to waits for this.
  const client = await cluster.pool.connect();
  await client.query('BEGIN');
  await client.query('SELECT 1 FROM consumer_group_positions WHERE thread_id = $1 FOR UPDATE', [
    threadId,
  ]);
  response.writeHead(200).end();
  const advancing = `SELECT pid FROM pg_stat_activity WHERE datname = current_database()
    AND wait_event_type = 'Lock' AND query LIKE '%UPDATE consumer_group_positions SET seq =%'`;
  await waitUntil(async () => (await cluster.pool.query(advancing)).rowCount, WAIT);
  await replace(async () => {
    // Postgres would still do what a process asked for that is gone, as soon as the row is free.
    const { rows } = await cluster.pool.query<{ pid: number }>(
      `SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    const gone = 'SELECT 1 FROM pg_stat_activity WHERE pid = ANY($1)';
    await waitUntil(
      async () => (await cluster.pool.query(gone, [rows.map(({ pid }) => pid)])).rowCount === 0,
      WAIT,
    );
    await client.query('ROLLBACK');
    client.release();
  });
  await expectAll('after', threadId);
  await waitUntil(() => receiver.of('/after').length > 1, WAIT);
  const [first, again] = receiver.of('/after');
  expectSame(first, again);
});
