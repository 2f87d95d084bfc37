/** What becomes of a thread's runs: many posts at once in every mode, a run that kills, and nobody left to work. */
import { readFileSync } from 'node:fs';
import { createRandom } from '../property/log/random.ts';
import { markFile, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import type { Plan } from '../support/fault-project/probe.ts';
import { openSse } from '../support/event-client.ts';
import { createTempFolder, removeTempFolder } from '../support/reaper.ts';
import { violationsIn } from '../support/verify.ts';
import { waitUntil } from '../support/wait-until.ts';

const folder = createTempFolder('marks');
const POSTS = 20;
let cluster: Cluster;
beforeAll(async () => {
  // Longer than a busy machine holds anybody up, and no longer: three workers are lost one after the other below.
  cluster = await startCluster({ workers: 2, env: { WORKER_HEARTBEAT_TTL: '4' } });
});
afterAll(async () => {
  await cluster.stop();
  removeTempFolder(folder);
});

interface Row {
  run_id: string;
  status: string;
  attempt: number;
  /** In ms; null: never started. */
  started: number | null;
  ended: number;
}

const rowsOf = async (threadId: string): Promise<Row[]> =>
  (
    await cluster.pool.query<Row>(
      `SELECT run_id, status, attempt, extract(epoch FROM started_at)::float8 * 1000 AS started,
         extract(epoch FROM ended_at)::float8 * 1000 AS ended
       FROM runs WHERE thread_id = $1 ORDER BY position`,
      [threadId],
    )
  ).rows;

describe('[42] 20 posts at once to one thread', () => {
  /** Posts, and waits until the thread is idle again. @returns the statuses of the answers */
  async function post(threadId: string, strategy: string, trace: string): Promise<number[]> {
    const plan: Plan = { steps: 1, events: 5, eventMs: 10, trace };
    const answers = await Promise.all(
      Array.from({ length: POSTS }, () =>
        cluster.request('POST', `/threads/${threadId}/runs`, {
          assistant_id: 'probe',
          input: { plan, step: 0, n: 0 },
          stream_mode: ['custom'],
          multitask_strategy: strategy,
        }),
      ),
    );
    await waitUntil(
      async () =>
        (await rowsOf(threadId)).every(({ status }) => !['pending', 'running'].includes(status)),
      { timeoutMs: 60_000, what: 'all runs to end' },
    );
    return answers.map(({ status }) => status);
  }

  /** No two runs of a thread overlap, they ran in their order, and each one's stream is its archive. */
  async function expectSerial(threadId: string): Promise<Row[]> {
    const rows = await rowsOf(threadId);
    const ran = rows.filter(({ started }) => started !== null);
    for (const [i, { started }] of ran.entries())
      expect(started).toBeGreaterThanOrEqual(ran[i - 1]?.ended ?? 0);
    for (const { run_id: runId, status } of rows) {
      const client = cluster.join(threadId, runId);
      await client.end();
      const evidence = { threadId, runId, clients: [[client]] };
      expect(
        await violationsIn(cluster, status === 'success' ? { ...evidence, expected: 5 } : evidence),
      ).toEqual([]);
    }
    const thread = await cluster.request('GET', `/threads/${threadId}`);
    expect(thread.body).toMatchObject({ status: 'idle' });
    return rows;
  }
  const stored = async (threadId: string): Promise<number> => {
    const found = await cluster.pool.query('SELECT 1 FROM events WHERE thread_id = $1', [threadId]);
    return found.rowCount ?? 0;
  };
  const ran = (trace: string): number => readFileSync(trace, 'utf8').trim().split('\n').length;

  test('reject: those that find a run there are told 409, the others run one after the other', async () => {
    const [threadId, trace] = [await cluster.createThread(), markFile(folder)];
    const answers = await post(threadId, 'reject', trace);
    const accepted = answers.filter((status) => status === 200).length;
    expect(accepted).toBeGreaterThanOrEqual(1);
    expect(answers.filter((status) => status === 409)).toHaveLength(POSTS - accepted);
    expect(accepted).toBeLessThan(POSTS);
    const rows = await expectSerial(threadId);
    expect(rows.map(({ status }) => status)).toEqual(
      Array.from({ length: accepted }, () => 'success'),
    );
    expect(ran(trace)).toBe(accepted);
  });

  test('enqueue: all run, one after the other, in their order', async () => {
    const [threadId, trace] = [await cluster.createThread(), markFile(folder)];
    expect(new Set(await post(threadId, 'enqueue', trace))).toEqual(new Set([200]));
    const rows = await expectSerial(threadId);
    expect(rows.map(({ status, attempt }) => `${status} ${attempt}`)).toEqual(
      Array.from({ length: POSTS }, () => 'success 1'),
    );
    expect(ran(trace)).toBe(POSTS);
  });

  test('interrupt: the last one succeeds, every other ends as interrupted or had succeeded before', async () => {
    const [threadId, trace] = [await cluster.createThread(), markFile(folder)];
    expect(new Set(await post(threadId, 'interrupt', trace))).toEqual(new Set([200]));
    const rows = await expectSerial(threadId);
    expect(rows).toHaveLength(POSTS);
    expect(rows.at(-1)?.status).toBe('success');
    for (const { status } of rows) expect(['success', 'interrupted']).toContain(status);
  });

  test('rollback: the last one succeeds, and of those that were rolled back nothing is left', async () => {
    const [threadId, trace] = [await cluster.createThread(), markFile(folder)];
    // One has written already: its events and checkpoints have to go.
    const firstId = await cluster.createRun(threadId, { steps: 200, events: 10, eventMs: 10 });
    await waitUntil(async () => (await stored(threadId)) > 15, { timeoutMs: 30_000 });
    expect(new Set(await post(threadId, 'rollback', trace))).toEqual(new Set([200]));
    const rows = await rowsOf(threadId);
    expect(rows.at(-1)?.status).toBe('success');
    const kept = rows.map(({ run_id: runId }) => runId);
    expect(kept).not.toContain(firstId);
    const { rows: foreign } = await cluster.pool.query(
      `SELECT 1 FROM events e JOIN terms t USING (thread_id, term)
       WHERE e.thread_id = $1 AND NOT t.run_id = ANY($2)
       UNION ALL
       SELECT 1 FROM checkpoints WHERE thread_id = $1 AND NOT (metadata ->> 'run_id')::uuid = ANY($2)`,
      [threadId, kept],
    );
    expect(foreign).toEqual([]);
    const last = cluster.join(threadId, kept.at(-1) ?? '');
    await last.end();
    expect(last.events).toEqual(await cluster.archived(kept.at(-1) ?? ''));
    expect(last.events.filter(({ event }) => event === 'custom')).toHaveLength(5);
  });
});

test('[66] 150 cancels that race with completion: row, stream and answer agree each time', async () => {
  const seed = Date.now() % 1e9;
  const random = createRandom(seed);
  const EVENTS = 8;
  const ends: Record<string, number> = {};
  let left = 150;
  async function lane(): Promise<void> {
    while (left-- > 0) {
      const threadId = await cluster.createThread();
      const runId = await cluster.createRun(threadId, { steps: 1, events: EVENTS, eventMs: 4 });
      const client = cluster.join(threadId, runId);
      const answer = cluster.request('GET', `/threads/${threadId}/runs/${runId}/join`);
      const at = random.below(EVENTS + 2);
      await client.until(at).catch(() => undefined);
      await cluster.request('POST', `/threads/${threadId}/runs/${runId}/cancel?wait=true`);
      const { status } = await cluster.row(runId);
      await client.end();
      const evidence = { threadId, runId, clients: [[client]] };
      const whole = status === 'success' ? { ...evidence, expected: EVENTS } : evidence;
      expect({ seed, at, wrong: await violationsIn(cluster, whole) }).toEqual({
        seed,
        at,
        wrong: [],
      });
      expect((await answer).body).toEqual(
        status === 'success' ? expect.objectContaining({ n: EVENTS }) : {},
      );
      ends[status] = (ends[status] ?? 0) + 1;
    }
  }
  await Promise.all(Array.from({ length: 10 }, lane));
  expect(Object.keys(ends).sort()).toEqual(['interrupted', 'success']);
});

test('[41] the only worker is lost and nobody starts another: the run waits, its cancel ends it, its stream and its thread', async () => {
  const alone = await startCluster({
    workers: 1,
    env: { CANCEL_DEADLINE_SECS: '1', WORKER_HEARTBEAT_TTL: '4' },
  });
  try {
    const threadId = await alone.createThread();
    const runId = await alone.createRun(threadId, { steps: 50, events: 20, eventMs: 10 });
    const client = alone.join(threadId, runId);
    await client.until(20);
    await alone.workers.get('w1')?.kill();
    // Lease and sweep: 4 s and 0.3 s.
    await waitUntil(async () => (await alone.row(runId)).status === 'pending', {
      timeoutMs: 30_000,
      what: 'the run to be given up for the next worker',
    });
    const other = openSse(`${alone.url}/threads/${threadId}/runs/${runId}/stream`);
    await other.until(20);
    const { status } = await alone.request(
      'POST',
      `/threads/${threadId}/runs/${runId}/cancel?wait=true`,
    );
    expect(status).toBe(204);
    await client.end();
    await other.end();
    // The taking over counts as one.
    expect(await alone.row(runId)).toMatchObject({ status: 'interrupted', attempt: 2 });
    const clients = [[client], [other]];
    expect(await violationsIn(alone, { threadId, runId, clients })).toEqual([]);
    const thread = await alone.request('GET', `/threads/${threadId}`);
    expect(thread.body).toMatchObject({ status: 'idle' });
  } finally {
    await alone.stop();
  }
});

test('[40] a run that kills its process each time ends as error; the runs beside it go on', async () => {
  /** Starts killed workers again, as an orchestrator would. */
  let over = false;
  let started = 2;
  const supervisor = waitUntil(
    async () => {
      for (const [name, worker] of cluster.workers)
        if (worker.ended !== null) {
          cluster.workers.delete(name);
          await cluster.startWorker(`w${++started}`);
        }
      return over;
    },
    { timeoutMs: 170_000, what: 'the test to be over' },
  );
  supervisor.catch(() => undefined);
  const beside = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const threadId = await cluster.createThread();
      const plan: Plan = { steps: 40, events: 10, eventMs: 20 };
      const runId = await cluster.createRun(threadId, plan);
      return { threadId, runId, client: cluster.join(threadId, runId), expected: 400 };
    }),
  );
  for (const { client } of beside) await client.until(10);
  const threadId = await cluster.createThread();
  const runId = await cluster.createRun(threadId, { steps: 2, events: 5, atStep: 1, then: 'kill' });
  const client = cluster.join(threadId, runId);
  await client.end(90_000);
  expect(await cluster.row(runId)).toMatchObject({
    status: 'error',
    failures: 3,
    error: { error: 'WorkerLostError' },
  });
  expect(await violationsIn(cluster, { threadId, runId, clients: [[client]] })).toEqual([]);
  for (const run of beside) {
    await run.client.end(90_000);
    expect(await cluster.row(run.runId)).toMatchObject({ status: 'success' });
    expect(await violationsIn(cluster, { ...run, clients: [[run.client]] })).toEqual([]);
  }
  over = true;
  await supervisor;
});
