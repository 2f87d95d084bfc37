/** Cancelling a run: before it begins, in the middle, at its very end, and when nobody wants to hear of it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { markFile, PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import type { Plan } from '../support/fault-project/probe.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { violationsIn } from '../support/verify.ts';
import { waitUntil } from '../support/wait-until.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-cancel-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** @returns how long the answer took, in ms */
async function cancelAndWait(cluster: Cluster, threadId: string, runId: string): Promise<number> {
  const from = performance.now();
  const path = `/threads/${threadId}/runs/${runId}/cancel?wait=true`;
  const { status } = await cluster.request('POST', path);
  expect(status).toBe(204);
  return performance.now() - from;
}

const written = (file: string): string => readFileSync(file, 'utf8');

describe('with hints', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster({
      workers: 0,
      env: { CANCEL_DEADLINE_SECS: '1', WORKER_HEARTBEAT_TTL: '4' },
    });
    // One job at a time, so that a second run has to wait.
    await cluster.startWorker('w1', { N_JOBS_PER_WORKER: '1' });
  });
  afterAll(() => cluster.stop());

  test('[34] a run that is cancelled while it is queued never starts', async () => {
    const [busy, queued, last] = await Promise.all([1, 2, 3].map(() => cluster.createThread()));
    if (busy === undefined || queued === undefined || last === undefined) throw new Error();
    const busyId = await cluster.createRun(busy, { steps: 2, events: 150, eventMs: 20 });
    await cluster.join(busy, busyId).until(2);
    const trace = markFile(folder);
    const queuedId = await cluster.createRun(queued, { steps: 1, events: 1, trace });
    const lastId = await cluster.createRun(last, { steps: 1, events: 1 });
    const client = cluster.join(queued, queuedId);
    await waitUntil(() => client.status === 200, { timeoutMs: 30_000 });
    await cancelAndWait(cluster, queued, queuedId);
    await client.end();
    expect(await cluster.row(busyId)).toMatchObject({ status: 'running' });

    // Its wake-up came before the last one's and was nothing to anybody.
    const after = cluster.join(last, lastId);
    await after.end();
    expect(await cluster.row(lastId)).toMatchObject({ status: 'success' });
    expect(() => written(trace)).toThrow('ENOENT');
    expect(client.events).toEqual([]);
    expect(await cluster.row(queuedId)).toMatchObject({ status: 'interrupted', attempt: 0 });
    const clients = [[client]];
    expect(await violationsIn(cluster, { threadId: queued, runId: queuedId, clients })).toEqual([]);
  });

  test('[36] a node that ignores its signal is left behind, and what it writes later is refused', async () => {
    const threadId = await cluster.createThread();
    const trace = markFile(folder);
    // Six seconds, and the pauses between the events ignore the signal, too.
    const plan: Plan = {
      steps: 1,
      events: 300,
      eventMs: 20,
      then: 'ignore-signal',
      atStep: 0,
      forMs: 1,
      burst: 5,
      trace,
    };
    const runId = await cluster.createRun(threadId, plan);
    const client = cluster.join(threadId, runId);
    await client.until(10);
    expect(await cancelAndWait(cluster, threadId, runId)).toBeLessThan(4_000);
    const ended = await cluster.archived(runId);
    await client.end();
    expect(written(trace)).not.toContain('done');
    await waitUntil(() => written(trace).includes('done'), {
      timeoutMs: 30_000,
      what: 'the node to come to its end',
    });
    expect(await cluster.archived(runId)).toEqual(ended);
    const clients = [[client]];
    expect(await violationsIn(cluster, { threadId, runId, clients })).toEqual([]);
    expect(await cluster.row(runId)).toMatchObject({ status: 'interrupted', attempt: 1 });
  });

  test('[36] a worker that hears nothing is fenced at the deadline, and refused when it wakes', async () => {
    const threadId = await cluster.createThread();
    const trace = markFile(folder);
    const plan: Plan = {
      steps: 4,
      events: 20,
      eventMs: 10,
      atStep: 1,
      then: 'block',
      forMs: 9_000,
      burst: 50,
      trace,
    };
    const runId = await cluster.createRun(threadId, plan);
    const client = cluster.join(threadId, runId);
    await waitUntil(() => written(trace).includes('blocks'), {
      timeoutMs: 30_000,
      what: 'the worker to stand still',
    });
    expect(await cancelAndWait(cluster, threadId, runId)).toBeLessThan(6_000);
    const ended = await cluster.archived(runId);
    expect(written(trace)).not.toContain('misbehaved');
    await client.end();
    await waitUntil(() => written(trace).includes('misbehaved'), {
      timeoutMs: 30_000,
      what: 'the worker to wake',
    });
    // It takes the thread's next run, so it has written what it could.
    const input = { plan: { steps: 1, events: 5 }, step: 0, n: 0 };
    const nextId = await cluster.createRun(threadId, input.plan, { input });
    const next = cluster.join(threadId, nextId);
    await next.end();
    expect(await cluster.archived(runId)).toEqual(ended);
    const clients = [[client]];
    expect(await violationsIn(cluster, { threadId, runId, clients })).toEqual([]);
    expect(await cluster.row(runId)).toMatchObject({ status: 'interrupted' });
    const nextEvidence = { threadId, runId: nextId, clients: [[next]], expected: 5 };
    expect(await violationsIn(cluster, nextEvidence)).toEqual([]);
  });

  test('[34] a run that is cancelled between two attempts ends as that, and is not executed again', async () => {
    const threadId = await cluster.createThread();
    const trace = markFile(folder);
    const plan: Plan = { steps: 50, events: 20, eventMs: 10, trace };
    const runId = await cluster.createRun(threadId, plan);
    const client = cluster.join(threadId, runId);
    await client.until(10);
    const name = await cluster.workerOf(runId);
    await cluster.workers.get(name)?.kill();
    await waitUntil(async () => (await cluster.row(runId)).status === 'pending', {
      timeoutMs: 30_000,
      what: 'the lease to lapse',
    });
    const steps = written(trace);
    const { status } = await cluster.request('POST', `/threads/${threadId}/runs/${runId}/cancel`);
    expect(status).toBe(202);
    await cluster.startWorker(name, { N_JOBS_PER_WORKER: '1' });
    await client.end();
    // By who claims it; or by the sweeper, when the deadline has passed before anybody could.
    expect(await cluster.row(runId)).toMatchObject({ status: 'interrupted' });
    expect(written(trace)).toEqual(steps);
    const clients = [[client]];
    expect(await violationsIn(cluster, { threadId, runId, clients })).toEqual([]);
  });
});

/** Of who hears nothing: long, so that hearing is told from it. */
const DEADLINE_MS = 10_000;

describe('[35] without hints', () => {
  let cluster: Cluster;
  /** Between the workers' LISTEN connections and Postgres. */
  let listen: TcpProxy;
  beforeAll(async () => {
    cluster = await startCluster({
      workers: 0,
      env: { CANCEL_DEADLINE_SECS: String(DEADLINE_MS / 1_000), WORKER_HEARTBEAT_TTL: '4' },
    });
    const { hostname, port } = new URL(cluster.databaseUrl);
    listen = await startTcpProxy({ host: hostname, port: Number(port) });
  });
  afterAll(async () => {
    await cluster.stop();
    await listen.close();
  });

  async function startDeafWorker(name: string, env: Record<string, string>): Promise<void> {
    const url = new URL(cluster.databaseUrl);
    url.port = String(listen.port);
    url.hostname = '127.0.0.1';
    await cluster.startWorker(name, { ...env, DATABASE_DIRECT_URL: url.href });
    listen.hold('down');
  }

  test('a silent run sees its cancel at the next heartbeat, down to a tool in a subgraph', async () => {
    await startDeafWorker('beats', {});
    const threadId = await cluster.createThread();
    const trace = markFile(folder);
    const plan: Plan = { steps: 2, events: 5, atStep: 1, then: 'nested', forMs: 60_000, trace };
    const runId = await cluster.createRun(threadId, plan);
    const client = cluster.join(threadId, runId);
    await client.until(6);
    await waitUntil(() => written(trace).includes('1 '), { timeoutMs: 30_000 });
    // Before the deadline, after which it would be fenced.
    expect(await cancelAndWait(cluster, threadId, runId)).toBeLessThan(DEADLINE_MS - 1_000);
    // Answered after the end, not before.
    expect(await cluster.row(runId)).toMatchObject({ status: 'interrupted', attempt: 1 });
    expect(written(trace)).toContain('aborted');
    await client.end();
    const clients = [[client]];
    expect(await violationsIn(cluster, { threadId, runId, clients })).toEqual([]);
    await cluster.workers.get('beats')?.stop();
  });

  test('a run that writes sees its cancel at the next append', async () => {
    listen.flow('down');
    await startDeafWorker('writes', {
      WORKER_HEARTBEAT_INTERVAL: '60',
      WORKER_HEARTBEAT_TTL: '120',
    });
    const threadId = await cluster.createThread();
    const runId = await cluster.createRun(threadId, { steps: 20, events: 50, eventMs: 10 });
    const client = cluster.join(threadId, runId);
    await client.until(10);
    // Before the deadline, after which it would be fenced.
    expect(await cancelAndWait(cluster, threadId, runId)).toBeLessThan(DEADLINE_MS - 1_000);
    expect(await cluster.row(runId)).toMatchObject({ status: 'interrupted', attempt: 1 });
    await client.end();
    const clients = [[client]];
    expect(await violationsIn(cluster, { threadId, runId, clients })).toEqual([]);
  });
});

describe('three that want to end a run', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    // The deadline is so short that the sweeper's fence races as well.
    cluster = await startCluster({
      workers: 1,
      env: { ...PATIENT, CANCEL_DEADLINE_SECS: '0.05', SWEEPER_INTERVAL: '0.05' },
    });
  });
  afterAll(() => cluster.stop());

  test('[37] a cancel that races with success: one end, the same in row, stream and answer', async () => {
    const EVENTS = 24;
    const ends = new Set<string>();
    // Ever closer to the end: a success moves the cancel forward, an interruption moves it back.
    let at = EVENTS;
    for (let i = 0; i < 30; i++) {
      const threadId = await cluster.createThread();
      const plan: Plan = { steps: 2, events: EVENTS / 2, eventMs: 4 };
      const runId = await cluster.createRun(threadId, plan);
      const client = cluster.join(threadId, runId);
      const answer = cluster.request('GET', `/threads/${threadId}/runs/${runId}/join`);
      await client.until((events) => events.length > at, 30_000).catch(() => undefined);
      await cluster.request('POST', `/threads/${threadId}/runs/${runId}/cancel?wait=true`);
      const { status } = await cluster.row(runId);
      await client.end();
      const finished = status === 'success';
      const evidence = { threadId, runId, clients: [[client]] };
      expect(
        await violationsIn(cluster, finished ? { ...evidence, expected: EVENTS } : evidence),
      ).toEqual([]);
      expect((await answer).body).toEqual(finished ? expect.objectContaining({ n: EVENTS }) : {});
      const { rows } = await cluster.pool.query<{ status: string; active_runs: number }>(
        'SELECT status, active_runs FROM threads WHERE thread_id = $1',
        [threadId],
      );
      expect(rows).toEqual([{ status: 'idle', active_runs: 0 }]);
      expect(await cluster.row(runId)).toMatchObject({ status });
      ends.add(status);
      at = Math.max(1, Math.min(EVENTS, at + (finished ? -1 : 1)));
    }
    expect([...ends].sort()).toEqual(['interrupted', 'success']);
  });
});
