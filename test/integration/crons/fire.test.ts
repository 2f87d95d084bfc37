/** Crons that are due, with several processes that look for them. */
import { createCron } from '../../../src/crons/cron.ts';
import type { CronRow, NewCron } from '../../../src/crons/cron.ts';
import { fireNext } from '../../../src/crons/fire.ts';
import { createRun, createRunIn } from '../../../src/runs/create.ts';
import { newId } from '../../../src/ids.ts';
import { cronRunsOf } from '../../../src/server/cron-run.ts';
import { createThread, newRun, startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';

import { createCoreBeside } from '../../support/core-beside.ts';
import { waitUntil } from '../../support/wait-until.ts';

const WAIT = { timeoutMs: 20_000 };
/** No process looks by itself, unless the test says so. */
const QUIET = '100000';

interface Run {
  run_id: string;
  thread_id: string;
  metadata: Record<string, unknown>;
  kwargs: { input: unknown };
  multitask_strategy: string;
}

let app: TestApp;
afterEach(() => app.stop());

const start = async (interval: string): Promise<void> => {
  app = await startTestApp({
    redis: false,
    worker: false,
    environment: { SWEEPER_INTERVAL: interval },
  });
};

/** A cron that was due `ago`, an interval. */
async function dueCron(ago: string, given: Partial<NewCron> = {}): Promise<string> {
  const { pool } = app.core;
  const cron = await createCron(pool, {
    cron_id: newId(),
    assistant_id: app.assistantId,
    thread_id: null,
    schedule: '0 0 1 1 *',
    timezone: null,
    end_time: null,
    enabled: true,
    on_run_completed: given.thread_id == null ? 'delete' : null,
    payload: { input: { a: 1 } },
    metadata: { m: 1 },
    user: null,
    ...given,
  });
  await pool.query('UPDATE crons SET next_run_date = now() - $2::interval WHERE cron_id = $1', [
    cron.cron_id,
    ago,
  ]);
  return cron.cron_id;
}

async function runsOf(cronId: string): Promise<Run[]> {
  const { rows } = await app.core.pool.query<Run>(
    `SELECT run_id, thread_id, metadata, kwargs, multitask_strategy FROM runs WHERE metadata->>'cron_id' = $1`,
    [cronId],
  );
  return rows;
}

async function ticksOf(cronId: string): Promise<{ run_id: string | null; error: string | null }[]> {
  const { rows } = await app.core.pool.query<{ run_id: string | null; error: string | null }>(
    'SELECT run_id, error FROM cron_ticks WHERE cron_id = $1 ORDER BY slot',
    [cronId],
  );
  return rows;
}

async function cronRow(cronId: string): Promise<CronRow> {
  const { rows } = await app.core.pool.query<CronRow>('SELECT * FROM crons WHERE cron_id = $1', [
    cronId,
  ]);
  const row = rows[0];
  if (row === undefined) throw new Error('no cron');
  return row;
}

const fire = (): ReturnType<typeof fireNext> => fireNext(app.core.submit, cronRunsOf(undefined));

async function fireAll(): Promise<void> {
  while ((await fire()) !== undefined);
}

test('[52] three processes fire each of many crons once, and by themselves', async () => {
  await start('0.05');
  const beside = [await createCoreBeside(app), await createCoreBeside(app)];
  try {
    for (const core of beside) await core.start();
    const crons = await Promise.all(Array.from({ length: 40 }, () => dueCron('1 s')));
    await waitUntil(async () => {
      const { rows } = await app.core.pool.query<{ n: number }>(
        'SELECT count(*)::int AS n FROM crons WHERE next_run_date <= now()',
      );
      return rows[0]?.n === 0;
    }, WAIT);
    for (const cronId of crons) {
      expect(await runsOf(cronId)).toHaveLength(1);
      expect(await ticksOf(cronId)).toHaveLength(1);
    }
  } finally {
    for (const core of beside) await core.stop();
  }
});

test('[52] twenty at once fire one cron once', async () => {
  await start(QUIET);
  const cronId = await dueCron('1 s');
  const fired = await Promise.all(Array.from({ length: 20 }, fire));
  expect(fired.filter((one) => one?.runId !== undefined)).toHaveLength(1);
  expect(await runsOf(cronId)).toHaveLength(1);
});

test('a run is built like a client’s, and says which cron it is of', async () => {
  await start(QUIET);
  const cronId = await dueCron('1 s', {
    payload: { input: { a: '\0' }, multitask_strategy: 'reject' },
  });
  await fireAll();
  const [run] = await runsOf(cronId);
  expect(run).toMatchObject({
    metadata: { m: 1, cron_id: cronId },
    kwargs: { input: { a: '\0' }, temporary: true, config: { configurable: { graph_id: 'test' } } },
    multitask_strategy: 'reject',
  });
  expect(await ticksOf(cronId)).toEqual([{ run_id: run?.run_id, error: null }]);
});

test('[52] days of downtime are one run, and the next date is to come', async () => {
  await start(QUIET);
  // Daily: a date of every five minutes may come between the firing and the look.
  const cronId = await dueCron('3 days', { schedule: '0 3 * * *' });
  await fireAll();
  expect(await runsOf(cronId)).toHaveLength(1);
  const { next_run_date: next } = await cronRow(cronId);
  const { rows } = await app.core.pool.query<{ now: Date }>('SELECT now() AS now');
  const waitMs = (next?.getTime() ?? 0) - (rows[0]?.now.getTime() ?? 0);
  expect(waitMs).toBeGreaterThan(0);
  expect(waitMs).toBeLessThanOrEqual(86_400_000);
});

test('[52] when the process that fires dies in the middle, another fires', async () => {
  await start(QUIET);
  const cronId = await dueCron('1 s');
  const dying = fireNext(app.core.submit, async (db, cron) => {
    const run = await cronRunsOf(undefined)(db, cron);
    await createRunIn(db, run);
    // It holds the cron: nobody else gets it meanwhile.
    expect(await fire()).toBeUndefined();
    await db.query('SELECT pg_terminate_backend(pg_backend_pid())');
    return run;
  });
  await expect(dying).rejects.toThrow();
  expect(await runsOf(cronId)).toEqual([]);
  expect(await ticksOf(cronId)).toEqual([]);

  await waitUntil(async () => (await fire())?.runId !== undefined, WAIT);
  expect(await runsOf(cronId)).toHaveLength(1);
});

test('[52] a date that had its run has no other, whatever the clocks do', async () => {
  await start(QUIET);
  const cronId = await dueCron('1 s');
  const slot = (await cronRow(cronId)).next_run_date;
  await fireAll();
  await app.core.pool.query('UPDATE crons SET next_run_date = $2 WHERE cron_id = $1', [
    cronId,
    slot,
  ]);
  expect(await fire()).toMatchObject({ cronId, runId: undefined, error: undefined });
  expect(await runsOf(cronId)).toHaveLength(1);
  expect((await cronRow(cronId)).next_run_date?.getTime()).toBeGreaterThan(slot?.getTime() ?? 0);
});

test('kept threads are listed and found by their cron, others are hidden', async () => {
  await start(QUIET);
  const kept = await dueCron('1 s', { on_run_completed: 'keep' });
  const gone = await dueCron('1 s', { on_run_completed: 'delete' });
  await fireAll();
  for (const [cronId, hidden] of [
    [kept, false],
    [gone, true],
  ] as const) {
    const [run] = await runsOf(cronId);
    const { rows } = await app.core.pool.query<{ hidden: boolean; cron_id: string }>(
      `SELECT hidden, metadata->>'cron_id' AS cron_id FROM threads WHERE thread_id = $1`,
      [run?.thread_id],
    );
    expect(rows).toEqual([{ hidden, cron_id: cronId }]);
  }
});

test('on a thread, runs follow the thread’s rule: enqueued, or refused and recorded', async () => {
  await start(QUIET);
  const threadId = await createThread(app);
  await createRun(app.core.pool, newRun(app, threadId));
  const waits = await dueCron('1 s', { thread_id: threadId });
  const refused = await dueCron('2 s', {
    thread_id: threadId,
    payload: { multitask_strategy: 'reject' },
  });
  const behind = await dueCron('1 s');
  await fireAll();
  expect(await runsOf(waits)).toMatchObject([{ thread_id: threadId }]);
  expect(await runsOf(refused)).toEqual([]);
  expect(await ticksOf(refused)).toEqual([
    { run_id: null, error: expect.stringContaining('ThreadBusyError') as string },
  ]);
  expect((await cronRow(refused)).next_run_date?.getTime()).toBeGreaterThan(Date.now());
  // One that cannot fire does not hold up the others.
  expect(await runsOf(behind)).toHaveLength(1);
});

test('a payload that no longer fits is recorded and passed over', async () => {
  await start(QUIET);
  const cronId = await dueCron('1 s', { payload: { stream_mode: 'no such mode' } });
  await fireAll();
  expect(await ticksOf(cronId)).toMatchObject([{ run_id: null }]);
  expect((await ticksOf(cronId))[0]?.error).toContain('stream_mode');
});

test('after its end a cron is silent', async () => {
  await start(QUIET);
  const end = new Date(Date.now() + 3 * 366 * 86_400_000);
  const cronId = await dueCron('2 h', { end_time: end });
  await app.core.pool.query(
    `UPDATE crons SET end_time = now() - interval '1 h' WHERE cron_id = $1`,
    [cronId],
  );
  await fireAll();
  expect(await runsOf(cronId)).toEqual([]);
  expect((await cronRow(cronId)).next_run_date).toBeNull();
});
