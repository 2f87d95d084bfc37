/** What is told of the whole deployment: depth and age of the queue, who works, how many should, whether runs get done. */
import { createWorkerOf } from '../../../src/app.ts';
import { wantedWorkers } from '../../../src/runs/backlog.ts';
import { beginRun, createThread, newRun } from '../../support/app.ts';
import { createRun } from '../../../src/runs/create.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

let app: TestServer;
beforeEach(async () => {
  app = await startTestServer({
    redis: true,
    worker: false,
    environment: { READY_QUEUE_AGE_MAX_SECS: '60', N_JOBS_PER_WORKER: '2', WORKERS_MAX: '3' },
  });
});
afterEach(() => app.stop());

/** One look serves a second: wait for a newer one. */
async function value(name: string): Promise<number | undefined> {
  const { text } = await app.call('GET', '/metrics');
  const line = new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (\\S+)$`, 'm').exec(text);
  return line === null ? undefined : Number(line[1]);
}
const until = (name: string, wanted: number): Promise<boolean> =>
  waitUntil(async () => (await value(name)) === wanted, {
    timeoutMs: 20_000,
    what: `${name} to be ${wanted}`,
  });

test('depth and age of the queue, runs for later apart, runs behind their own thread not counted as late', async () => {
  await app.call('POST', '/runs', { assistant_id: app.assistantId, after_seconds: 60 });
  const owner = await beginRun(app);
  await createRun(app.core.pool, newRun(app, owner.threadId));
  await app.core.pool.query(
    `UPDATE runs SET eligible_at = now() - interval '90 s' WHERE thread_id = $1`,
    [owner.threadId],
  );
  await until('millrace_queue_depth{state="due"}', 1);
  expect(await value('millrace_queue_depth{state="delayed"}')).toBe(1);
  expect(await value('millrace_runs_active{status="running"}')).toBe(1);
  expect(await value('millrace_queue_oldest_seconds')).toBe(0);
  // Of the whole Postgres, which other tests use as well.
  expect(await value('millrace_notify_queue_usage')).toBeLessThan(0.5);

  const waiting = newRun(app, await createThread(app));
  await createRun(app.core.pool, waiting);
  await app.core.pool.query(
    `UPDATE runs SET eligible_at = now() - interval '30 s' WHERE run_id = $1`,
    [waiting.runId],
  );
  await until('millrace_queue_depth{state="due"}', 2);
  expect(await value('millrace_queue_oldest_seconds')).toBeGreaterThanOrEqual(30);
});

test('workers that are alive, and how many the backlog wants', async () => {
  expect((await app.call('GET', '/metrics/workers')).json()).toMatchObject({
    workers_wanted: 1,
    workers_alive: 0,
  });
  for (let n = 0; n < 3; n++) await createRun(app.core.pool, newRun(app, await createThread(app)));
  // Without a worker to tell, its slots are this process' setting, 2.
  await until('millrace_workers_wanted', 2);
  for (let n = 0; n < 7; n++) await createRun(app.core.pool, newRun(app, await createThread(app)));
  await until('millrace_workers_wanted', 3);
});

test('ready is red without a worker, green with one, red again when it is gone', async () => {
  const ready = async (): Promise<{ status: number; wrong: string[] }> => {
    const { status, json } = await app.call('GET', '/ready');
    return { ...(json() as { wrong: string[] }), status };
  };
  const red = await ready();
  expect(red.status).toBe(503);
  expect(red.wrong).toEqual([expect.stringContaining('READY_WORKERS_MIN')]);

  const worker = createWorkerOf(app.core);
  await worker.start();
  await waitUntil(async () => (await ready()).status === 200, { timeoutMs: 20_000 });
  expect(await value('millrace_worker_slots')).toBe(2);
  await worker.stop();
  await waitUntil(async () => (await ready()).status === 503, { timeoutMs: 20_000 });
});

test('ready is red when a run has waited for too long, and says how long', async () => {
  await app.core.pool.query(
    `INSERT INTO workers (worker_id, slots, expires_at) VALUES ('w', 2, now() + interval '1 h')`,
  );
  const run = newRun(app, await createThread(app));
  await createRun(app.core.pool, run);
  await waitUntil(async () => (await app.call('GET', '/ready')).status === 200, {
    timeoutMs: 20_000,
  });
  await app.core.pool.query(`UPDATE runs SET eligible_at = now() - interval '61 s'`);
  const text = await waitUntil(
    async () => {
      const answer = await app.call('GET', '/ready');
      return answer.status === 503 ? answer.text : undefined;
    },
    { timeoutMs: 20_000 },
  );
  expect(text).toMatch(/waited for 6\d s, expected at most 60 s/);
});

test('how far the archive is behind', async () => {
  const owner = await beginRun(app);
  const { redisLog, pool } = app.core;
  await until('millrace_events_unarchived', 0);
  // The archiver needs the thread's row.
  const client = await pool.connect();
  await client.query('BEGIN');
  await client.query('SELECT 1 FROM threads WHERE thread_id = $1 FOR UPDATE', [owner.threadId]);
  await redisLog?.append(owner, owner.start, [
    { type: 'custom', data: '1' },
    { type: 'custom', data: '2' },
  ]);
  await until('millrace_events_unarchived', 2);
  await waitUntil(async () => ((await value('millrace_archive_lag_seconds')) ?? 0) >= 1, {
    timeoutMs: 20_000,
  });
  await client.query('ROLLBACK');
  client.release();
  await until('millrace_events_unarchived', 0);
  await until('millrace_archive_lag_seconds', 0);
});

test('the wanted workers of a backlog', () => {
  const limits = { min: 1, max: 10, slotsDefault: 4 };
  const wanted = (threads: number, workers: number, slots: number): number =>
    wantedWorkers({ threads, workers, slots }, limits);
  expect(wanted(0, 0, 0)).toBe(1);
  expect(wanted(9, 0, 0)).toBe(3);
  expect(wanted(9, 2, 20)).toBe(1);
  expect(wanted(21, 2, 20)).toBe(3);
  expect(wanted(1_000, 2, 20)).toBe(10);
});
