/** kill -9 of servers and workers while clients wait: the runs go on elsewhere, the clients come back. */
import { readFileSync } from 'node:fs';
import { startCluster, markFile } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import type { SseEvent } from '../support/event-client.ts';
import { createTempFolder, removeTempFolder } from '../support/reaper.ts';
import { violationsIn } from '../support/verify.ts';
import { openVisitor } from '../support/visitor.ts';
import { waitUntil } from '../support/wait-until.ts';

let cluster: Cluster;
let workers = 0;
const folder = createTempFolder('marks');
beforeAll(async () => {
  cluster = await startCluster({
    workers: 0,
    env: { N_JOBS_PER_WORKER: '20', WORKER_HEARTBEAT_TTL: '3' },
  });
});
beforeEach(async () => {
  if (cluster.workers.size === 0) await nextWorker();
});
afterAll(async () => {
  await cluster.stop();
  removeTempFolder(folder);
});

const nextWorker = (): Promise<unknown> => cluster.startWorker(`w${++workers}`);
const latestWorker = (): string => `w${workers}`;
async function killWorker(name: string): Promise<void> {
  await cluster.workers.get(name)?.kill();
  cluster.workers.delete(name);
}
const streamOf = (base: string, threadId: string, runId: string): string =>
  `${base}/threads/${threadId}/runs/${runId}/stream`;
const isMetadata = ({ event }: SseEvent): boolean => event === 'metadata';

/** POST to a server that may die before it answers. @returns its JSON, undefined when it died */
async function post(url: string, body: unknown): Promise<unknown> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return JSON.parse(await response.text());
  } catch {
    return undefined;
  }
}

test('[56] kill -9 of a server and a worker under 12 waiting clients: every run goes on, every client gets its end', async () => {
  const doomed = latestWorker();
  const victim = await cluster.startServer();
  const body = {
    assistant_id: 'probe',
    input: { plan: { steps: 40, events: 10, eventMs: 15 } },
    stream_mode: ['custom'],
    stream_resumable: true,
    config: { recursion_limit: 1_000 },
  };
  const threads = await Promise.all(Array.from({ length: 12 }, () => cluster.createThread()));
  const streaming = threads.slice(0, 6);
  const waiting = threads.slice(6);
  const visitors = streaming.map((threadId) =>
    openVisitor(`${victim.url}/threads/${threadId}/runs/stream`, [], { method: 'POST', body }),
  );
  const answers = waiting.map((threadId) =>
    post(`${victim.url}/threads/${threadId}/runs/wait`, body),
  );
  for (const { now } of visitors) await now.until(15);
  const runs = await Promise.all(threads.map(runOf));
  for (const { worker_id: worker } of runs) expect(worker).toBe(doomed);

  await Promise.all([victim.process.kill(), killWorker(doomed)]);
  for (const answer of answers) expect(await answer).toBeUndefined();
  for (const { now } of visitors) await waitUntil(() => now.error, { timeoutMs: 30_000 });
  expect(visitors.filter(({ now }) => now.ended)).toEqual([]);

  await nextWorker();
  visitors.forEach((visitor, i) => {
    visitor.comeBack(streamOf(cluster.url, streaming[i] ?? '', runs[i]?.run_id ?? ''));
  });
  const joined = await Promise.all(
    waiting.map((threadId, i) =>
      cluster.request('GET', `/threads/${threadId}/runs/${runs[i + 6]?.run_id}/join`),
    ),
  );
  for (const { status, body: answer } of joined)
    expect({ status, answer }).toMatchObject({ status: 200, answer: { step: 40, n: 400 } });
  for (const { now } of visitors) await now.end();
  for (const [i, threadId] of threads.entries()) {
    const runId = runs[i]?.run_id ?? '';
    expect(await cluster.row(runId)).toMatchObject({
      status: 'success',
      attempt: 2,
      worker_id: latestWorker(),
    });
    const clients = visitors.slice(i, i + 1).map(({ sessions }) => sessions);
    expect(await violationsIn(cluster, { threadId, runId, clients, expected: 400 })).toEqual([]);
  }
});

test('[63] a crash in the middle of a run: readers see where the next attempt begins, never two attempts as one', async () => {
  const threadId = await cluster.createThread();
  const runId = await cluster.createRun(threadId, { steps: 4, events: 100, eventMs: 15 });
  const stream = streamOf(cluster.url, threadId, runId);
  const stayed = openVisitor(stream);
  const returned = openVisitor(stream);
  // In the middle of a step, so that its events are written twice.
  await returned.now.until(150);
  await killWorker(await cluster.workerOf(runId));
  returned.cut();
  await nextWorker();
  returned.comeBack();
  const late = openVisitor(stream);
  const visitors = [stayed, returned, late];
  for (const { now } of visitors) await now.end();

  const archive = await cluster.archived(runId);
  const boundary = archive.findLastIndex(isMetadata);
  const second = archive.slice(boundary);
  expect(archive.filter(isMetadata)).toHaveLength(2);
  expect(JSON.parse(second[0]?.data ?? '')).toEqual({ run_id: runId, attempt: 2 });
  expect(archive.slice(0, boundary).filter(({ id }) => id?.includes('-'))).toEqual([]);
  expect(second.filter(({ id }) => id?.endsWith('-2') !== true)).toEqual([]);
  // The step was begun again from its checkpoint: without the boundary this would be a splice.
  const countAt = (event: SseEvent | undefined): { n: number; execution: string } =>
    JSON.parse(event?.data ?? '') as { n: number; execution: string };
  const [before, after] = [countAt(archive[boundary - 1]), countAt(archive[boundary + 1])];
  expect(after.n).toBeLessThanOrEqual(before.n);
  expect(after.execution).not.toBe(before.execution);
  const clients = visitors.map(({ sessions }) => sessions);
  expect(await violationsIn(cluster, { threadId, runId, clients, expected: 400 })).toEqual([]);
});

test('[57] a second and a third crash of the same runs: attempts 2 and 3 run, then they end as error', async () => {
  const runs = await Promise.all(
    [0, 1, 2].map(async () => {
      const threadId = await cluster.createThread();
      const trace = markFile(folder);
      const plan = { steps: 500, events: 4, eventMs: 20, trace };
      const runId = await cluster.createRun(threadId, plan);
      return { threadId, runId, trace };
    }),
  );
  const visitors = runs.map(({ threadId, runId }) =>
    openVisitor(streamOf(cluster.url, threadId, runId)),
  );
  for (let attempt = 1; attempt <= 3; attempt++) {
    for (const { now } of visitors)
      await now.until(
        (events) =>
          events.filter(isMetadata).length === attempt &&
          events.length > events.findLastIndex(isMetadata) + 10,
      );
    const doomed = latestWorker();
    for (const { runId } of runs)
      expect(await cluster.row(runId)).toMatchObject({ attempt, worker_id: doomed });
    await nextWorker();
    await killWorker(doomed);
  }
  for (const { now } of visitors) await now.end();
  for (const [i, { threadId, runId, trace }] of runs.entries()) {
    expect(await cluster.row(runId)).toMatchObject({
      status: 'error',
      failures: 3,
      error: { error: 'WorkerLostError' },
    });
    const lines = readFileSync(trace, 'utf8').trim().split('\n');
    expect(new Set(lines.map((line) => line.split(' ')[1])).size).toBe(3);
    const clients = visitors.slice(i, i + 1).map(({ sessions }) => sessions);
    expect(await violationsIn(cluster, { threadId, runId, clients })).toEqual([]);
  }
});

async function runOf(threadId: string): Promise<{ run_id: string; worker_id: string | null }> {
  return waitUntil(
    async () => {
      const { rows } = await cluster.pool.query<{ run_id: string; worker_id: string | null }>(
        `SELECT run_id, worker_id FROM runs WHERE thread_id = $1 AND status = 'running'`,
        [threadId],
      );
      return rows[0];
    },
    { timeoutMs: 30_000, what: 'the run to be executed' },
  );
}
