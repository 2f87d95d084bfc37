/** A worker goes away in the middle of a run: without a word, or because it is told to. */
import { startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { rewindsIn } from '../support/checker.ts';
import type { SseEvent } from '../support/event-client.ts';
import { violationsIn } from '../support/verify.ts';

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster({ workers: 2, env: { WORKER_HEARTBEAT_TTL: '3' } });
});
afterAll(() => cluster.stop());

const PLAN = { steps: 30, events: 15, eventMs: 10 };
const boundary = (events: readonly SseEvent[]): SseEvent[] =>
  events.filter(({ event, id }) => event === 'metadata' && id !== '0');

test('[1] a killed worker’s run goes on with its next attempt, and clients see one boundary', async () => {
  const threadId = await cluster.createThread();
  const runId = await cluster.createRun(threadId, PLAN);
  const steady = cluster.join(threadId, runId);
  const early = cluster.join(threadId, runId);
  await early.until(20);
  early.cut();
  await steady.until(40);
  const lost = await cluster.workerOf(runId);
  await cluster.workers.get(lost)?.kill();
  const late = cluster.join(threadId, runId, early.lastId());
  await steady.end();
  await late.end();

  const clients = [[steady], [early, late]];
  expect(await violationsIn(cluster, { threadId, runId, clients, expected: 450 })).toEqual([]);
  // Redis has kept what the dead worker had appended.
  expect(clients.map(rewindsIn)).toEqual([0, 0]);
  expect(boundary(steady.events).map(({ data }) => JSON.parse(data) as unknown)).toEqual([
    { run_id: runId, attempt: 2 },
  ]);
  expect(await cluster.row(runId)).toMatchObject({ status: 'success', attempt: 2, failures: 1 });
  await cluster.startWorker(lost);
});

test('[38] a worker that is stopped hands its run over: the next one goes on within a second', async () => {
  // A lease that has to lapse takes longer each time; a busy machine lets one of several through.
  const pauses: number[] = [];
  while (pauses.length < 5 && !pauses.some((ms) => ms < 1_000)) pauses.push(await handOver());
  expect(Math.min(...pauses)).toBeLessThan(1_000);
});

/** Stops the worker of a run in its middle. @returns ms until the next attempt's first event */
async function handOver(): Promise<number> {
  const threadId = await cluster.createThread();
  const runId = await cluster.createRun(threadId, PLAN);
  const client = cluster.join(threadId, runId);
  await client.until(40);
  const name = await cluster.workerOf(runId);
  const stopped = cluster.workers.get(name);
  const from = performance.now();
  const exit = stopped?.stop();
  await client.until((events) => boundary(events).length > 0);
  const pauseMs = performance.now() - from;
  expect(await exit).toBe(0);
  await client.end();

  const clients = [[client]];
  expect(await violationsIn(cluster, { threadId, runId, clients, expected: 450 })).toEqual([]);
  expect(clients.map(rewindsIn)).toEqual([0]);
  expect(boundary(client.events)).toHaveLength(1);
  expect(await cluster.row(runId)).toMatchObject({ status: 'success', attempt: 2, failures: 0 });
  await cluster.startWorker(name);
  return pauseMs;
}
