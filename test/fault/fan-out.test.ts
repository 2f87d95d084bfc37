/** One run and many clients: every one gets every event, over few connections, also when wake-ups are lost. */
import { get } from 'node:http';
import { connectCommands, isReachable } from '../../src/redis/connect.ts';
import type { Redis } from '../../src/redis/connect.ts';
import { frameText } from '../../src/server/frames.ts';
import { createRandom } from '../property/log/random.ts';
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import type { Plan } from '../support/fault-project/probe.ts';
import { watchDelivery } from '../support/delivery.ts';
import type { DeliveryWatch } from '../support/delivery.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { violationsIn } from '../support/verify.ts';
import { openVisitor } from '../support/visitor.ts';
import type { Visitor } from '../support/visitor.ts';
import { waitUntil } from '../support/wait-until.ts';

/** What a lost wake-up may cost (SCENARIOS.md 27, 58). */
const STALL_MS_MAX = 1_000;

let cluster: Cluster;
let line: TcpProxy;
/** URL of a server whose way to Redis can be closed. */
let farUrl: string;
let redis: Redis;
beforeAll(async () => {
  cluster = await startCluster({ env: PATIENT });
  line = await startTcpProxy({ port: cluster.redis.port });
  farUrl = (await cluster.startServer({ REDIS_URL: `redis://127.0.0.1:${line.port}` })).url;
  redis = connectCommands({ url: cluster.redis.url, name: 'test' }, () => undefined);
  expect(await isReachable(redis, 20_000)).toBe(true);
});
afterEach(() => {
  // Of a test that failed in between.
  line.accept();
});
afterAll(async () => {
  redis.disconnect();
  await cluster.stop();
  await line.close();
});

async function begin(
  plan: Plan,
): Promise<{ threadId: string; runId: string; expected: number; path: string }> {
  const threadId = await cluster.createThread();
  const runId = await cluster.createRun(threadId, plan);
  const path = `/threads/${threadId}/runs/${runId}/stream`;
  return { threadId, runId, expected: plan.steps * plan.events, path };
}

/** Names of the connections that Redis has. @param kind e.g. `pubsub` */
async function connections(kind?: 'pubsub'): Promise<string[]> {
  const words = kind === undefined ? ['LIST'] : ['LIST', 'TYPE', kind];
  return String(await redis.call('CLIENT', ...words))
    .trim()
    .split('\n')
    .filter(Boolean);
}

/** No event took longer than a lost wake-up may cost; what the machine held up is not counted. */
async function expectPrompt(delivery: DeliveryWatch, visitors: readonly Visitor[]): Promise<void> {
  await delivery.stop();
  const worst = Math.max(...visitors.map(({ now }) => delivery.worstMs(now)));
  expect(worst).toBeLessThan(STALL_MS_MAX + delivery.standstillMs());
}

/** A client that keeps the bytes of its response. */
async function readBytes(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.once('end', () => {
        resolve(text);
      });
      response.once('error', reject);
    }).once('error', reject);
  });
}

test('[26] 500 clients that join one run at random times read the same bytes, over no connection to Redis of their own', async () => {
  const seed = Date.now() % 1e9;
  const random = createRandom(seed);
  const run = await begin({ steps: 3, events: 100, eventMs: 10 });
  const leader = openVisitor(cluster.url + run.path);
  await leader.now.until(1);
  const before = (await connections()).length;
  const joins = Array.from({ length: 500 }, () => random.below(run.expected));
  joins.sort((a, b) => a - b);
  const reading: Promise<string>[] = [];
  for (const at of joins) {
    if (leader.now.events.length < at) await leader.now.until(at);
    reading.push(readBytes(cluster.url + run.path));
  }
  const during = (await connections()).length;
  const texts = await Promise.all(reading);
  await leader.now.end();

  const archive = await cluster.archived(run.runId);
  const whole = archive
    .map(({ id, event, data }) => frameText(event ?? '', data, id ?? ''))
    .join('');
  const different = texts.filter((text) => text.replaceAll(': heartbeat\n', '') !== whole);
  expect({ seed, different: different.length }).toEqual({ seed, different: 0 });
  expect(during - before).toBeLessThan(5);
  expect(await violationsIn(cluster, { ...run, clients: [leader.sessions] })).toEqual([]);
});

test('[58] a killed PubSub connection costs 20 streaming clients no event', async () => {
  const run = await begin({ steps: 3, events: 60, eventMs: 15 });
  const delivery = watchDelivery(cluster, run.threadId);
  const visitors = Array.from({ length: 20 }, () => openVisitor(cluster.url + run.path));
  for (const { now } of visitors) await now.until(40);
  const killed = Number(await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub'));
  expect(killed).toBeGreaterThanOrEqual(1);
  for (const { now } of visitors) await now.end();
  const clients = visitors.map(({ sessions }) => sessions);
  expect(await violationsIn(cluster, { ...run, clients })).toEqual([]);
  await expectPrompt(delivery, visitors);
});

test('[27] with PubSub gone and staying away the events come all the same, each within a second', async () => {
  const run = await begin({ steps: 3, events: 80, eventMs: 15 });
  const delivery = watchDelivery(cluster, run.threadId);
  const visitors = Array.from({ length: 10 }, () => openVisitor(farUrl + run.path));
  for (const { now } of visitors) await now.until(40);
  const before = (await connections('pubsub')).length;
  // The commands' connection stays; the subscriber's breaks and cannot come back.
  line.refuse();
  await redis.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  for (const { now } of visitors) await now.end();
  await waitUntil(async () => (await connections('pubsub')).length >= before - 1, {
    timeoutMs: 30_000,
    what: 'the subscribers of the others to be back',
  });
  expect(await connections('pubsub')).toHaveLength(before - 1);
  const clients = visitors.map(({ sessions }) => sessions);
  expect(await violationsIn(cluster, { ...run, clients })).toEqual([]);
  await expectPrompt(delivery, visitors);

  line.accept();
  await waitUntil(async () => (await connections('pubsub')).length >= before, {
    timeoutMs: 30_000,
    what: 'the subscriber to be back',
  });
  const next = await begin({ steps: 1, events: 40, eventMs: 10 });
  const visitor = openVisitor(farUrl + next.path);
  await visitor.now.end();
  expect(await violationsIn(cluster, { ...next, clients: [visitor.sessions] })).toEqual([]);
});
