/** All run queues keep one promise: a run that is announced is executed soon, once, in Postgres' order, whatever is lost. */
import { Annotation, StateGraph } from '@langchain/langgraph';
import { createWorkerOf } from '../../src/app.ts';
import { newId } from '../../src/ids.ts';
import { mastersOf } from '../../src/redis/connect.ts';
import { submitRun } from '../../src/runs/submit.ts';
import { createThread, newRun, readAll, startTestApp } from './app.ts';
import type { TestApp } from './app.ts';
import { oneOfMany } from './one-of-many.ts';
import { waitUntil } from './wait-until.ts';

const executed: string[] = [];
/** While it is there, runs that begin wait for it. */
let gate: Promise<void> | undefined;
let open: () => void = () => undefined;
const State = Annotation.Root({ name: Annotation<string>() });
const graph = new StateGraph(State)
  .addNode('note', async (state: typeof State.State) => {
    executed.push(state.name);
    await gate;
    return {};
  })
  .addEdge('__start__', 'note')
  .compile();

export interface QueueCase {
  readonly backend: 'bullmq' | 'list' | 'memory';
  /** Hash tags that it is spread over. */
  readonly tags: number;
  /** Default: the Redis that all tests share. */
  readonly redisUrl?: () => string;
}

/** The tests, within a `describe` of the caller's. */
export function keepsThePromise({ backend, tags, redisUrl }: QueueCase): void {
  let app: TestApp;
  beforeEach(async () => {
    executed.length = 0;
    gate = undefined;
    app = await startTestApp({
      redis: backend !== 'memory',
      graph,
      worker: false,
      ...(redisUrl === undefined ? {} : { redisUrl: redisUrl() }),
      environment: {
        QUEUE_BACKEND: backend,
        REDIS_QUEUE_TAGS: String(tags),
        N_JOBS_PER_WORKER: '1',
        SWEEPER_INTERVAL: '0.2',
      },
    });
  });
  afterEach(async () => {
    await app.stop();
  });

  async function submit(
    name: string,
    more: object = {},
  ): Promise<{ threadId: string; runId: string }> {
    const threadId = await createThread(app);
    const run = newRun(app, threadId, { input: { name }, ...more });
    await submitRun(app.core.submit, run);
    return { threadId, runId: run.runId };
  }
  /** Wake-ups are on their way when a run is there. */
  const depthIs = (count: number): Promise<unknown> =>
    waitUntil(async () => (await app.core.queue.depth()) === count, {
      timeoutMs: 20_000,
      what: `${count} wake-ups`,
    });
  const allDone = (count: number): Promise<unknown> =>
    waitUntil(() => executed.length >= count, { timeoutMs: 20_000, what: `${count} runs` });
  const pending = async (): Promise<number> => {
    const { rows } = await app.core.pool.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM runs WHERE status IN ('pending', 'running')`,
    );
    return rows[0]?.n ?? -1;
  };

  test('an idle worker begins a run at once', async () => {
    await app.worker.start();
    // Without its wake-up the worker would find it after LOOK_INTERVAL and OVERDUE_MS, or the sweeper after 2 s: never sooner.
    await oneOfMany('a run in less than 900 ms', async () => {
      const begun = Date.now();
      const run = await submit('a');
      expect(await readAll(app, run)).toMatchObject({ status: 'success' });
      return Date.now() - begun < 900;
    });
  });

  test('runs that were announced before there was a worker are executed, each once', async () => {
    const names = Array.from({ length: 30 }, (_, i) => `r${i}`);
    for (const name of names) await submit(name);
    if (backend !== 'memory') await depthIs(30);
    await app.worker.start();
    await allDone(30);
    expect([...executed].sort()).toEqual([...names].sort());
    await waitUntil(async () => (await pending()) === 0, { timeoutMs: 20_000 });
    if (backend !== 'memory')
      await waitUntil(async () => (await app.core.queue.depth()) === 0, { timeoutMs: 20_000 });
  });

  test('priority decides, not the order of the wake-ups', async () => {
    await submit('low', { priority: -1 });
    await submit('first');
    await submit('second');
    await submit('high', { priority: 5 });
    await app.worker.start();
    await allDone(4);
    expect(executed).toEqual(['high', 'first', 'second', 'low']);
  });

  test('wake-ups that nobody needs, and such without a run, do no harm', async () => {
    const run = await submit('a');
    for (let i = 0; i < 5; i++)
      app.core.queue.wake([{ runId: i === 0 ? run.runId : newId(), attempt: i, delayMs: 0 }]);
    await app.worker.start();
    await allDone(1);
    await submit('b');
    await allDone(2);
    expect(executed).toEqual(['a', 'b']);
  });

  test('runs whose wake-ups were lost are found, and the queue is never longer than the runs that wait', async () => {
    for (let i = 0; i < 20; i++) await submit(`r${i}`);
    if (backend !== 'memory') {
      await depthIs(20);
      // Everything that Redis knows of this deployment.
      const commands = app.core.redis?.commands;
      for (const master of commands === undefined ? [] : mastersOf(commands))
        for (const key of await master.keys(`*${app.core.config.KEY_PREFIX}*`))
          await master.del(key);
      // Any number of sweepers find it at once.
      const overdue = Array.from({ length: 20 }, () => ({
        runId: newId(),
        attempt: 0,
        delayMs: 0,
      }));
      await Promise.all([1, 2, 3].map(() => app.core.queue.repair(overdue)));
      if (backend === 'list') expect(await app.core.queue.depth()).toBe(20);
    }
    await app.worker.start();
    await allDone(20);
    expect(new Set(executed).size).toBe(20);
  });

  test('a delayed run does not begin before its time, and begins soon after it', async () => {
    await app.worker.start();
    // A sweep is every 0.2 s; without it the overdue look would find it after 3 s.
    await oneOfMany('a run soon after its time', async () => {
      const begun = Date.now();
      const run = await submit('later', { afterSeconds: 1 });
      await readAll(app, run);
      const tookMs = Date.now() - begun;
      expect(tookMs).toBeGreaterThanOrEqual(1_000);
      return tookMs < 2_500;
    });
  });

  test('a worker without a free slot keeps no wake-up from one that has', async () => {
    const opened = new Promise<void>((resolve) => (open = resolve));
    gate = opened;
    await app.worker.start();
    await submit('long');
    await waitUntil(() => executed.length === 1, { timeoutMs: 20_000 });
    gate = undefined;
    // More than there are tags, so that each has some.
    for (let i = 0; i < 12; i++) await submit(`short ${i}`);
    if (backend !== 'memory')
      await waitUntil(async () => (await app.core.queue.depth()) === 12, {
        timeoutMs: 20_000,
        what: 'all of them to wait in the queue',
      });
    const other = createWorkerOf(app.core);
    await other.start();
    await allDone(13);
    open();
    await waitUntil(async () => (await pending()) === 0, { timeoutMs: 20_000 });
    await other.stop();
  });

  test('a worker that stops leaves its wake-ups to the others', async () => {
    await app.worker.start();
    await submit('before');
    await allDone(1);
    const other = createWorkerOf(app.core);
    await other.start();
    await app.worker.stop();
    try {
      // One that the stopped worker kept would be found by the sweeper, 2 s later.
      await oneOfMany('ten runs in less than 2 s', async () => {
        const begun = Date.now();
        const before = executed.length;
        for (let i = 0; i < 10; i++) await submit(`after ${i}`);
        await allDone(before + 10);
        return Date.now() - begun < 2_000;
      });
    } finally {
      await other.stop();
    }
  });
}
