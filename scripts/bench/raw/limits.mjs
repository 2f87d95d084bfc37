/** Each store, the queue and the graph library by itself: what no design on top of them can beat. */
import { randomUUID } from 'node:crypto';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';
import { emitter, pregel, trivial } from '../project/graphs.mjs';
import { APPEND, INSERT } from './log.mjs';
import { serve } from './serve.mjs';

const { REDIS_URL, DATABASE_URL } = process.env;
const redis = REDIS_URL ? new Redis(REDIS_URL) : undefined;
redis?.defineCommand('rawAppend', { numberOfKeys: 1, lua: APPEND });
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 32 });
const GRAPHS = { trivial, pregel };
const payload = (n) => JSON.stringify({ n, t: 1_234_567_890_123, p: 'x'.repeat(32) });

/** @returns units a second */
async function rate(units, work) {
  const start = process.hrtime.bigint();
  await work();
  return { perSecond: units / (Number(process.hrtime.bigint() - start) / 1e9) };
}

async function inParallel(limit, count, work) {
  let next = 0;
  await Promise.all(
    Array.from({ length: limit }, async () => {
      while (next < count) await work(next++);
    }),
  );
}

serve(undefined, {
  append({ batch, batches }) {
    const key = `raw:limit:${randomUUID()}`;
    const events = Array.from({ length: batch }, (_, n) => payload(n));
    return rate(batch * batches, async () => {
      for (let i = 0; i < batches; i++) await redis.rawAppend(key, i * batch + 1, key, ...events);
    });
  },
  insert({ batch, batches, parallel }) {
    const thread = randomUUID();
    return rate(batch * batches, () =>
      inParallel(parallel, batches, (i) => {
        const rows = Array.from({ length: batch }, (_, n) => ({
          k: thread,
          s: i * batch + n + 1,
          y: 'custom',
          d: payload(n),
        }));
        return pool.query({ ...INSERT, values: [JSON.stringify(rows)] });
      }),
    );
  },
  commit({ count, parallel }) {
    return rate(count, () =>
      inParallel(parallel, count, () =>
        pool.query({
          name: 'commit',
          text: `INSERT INTO raw_runs (run_id, status, data) VALUES ($1, 'done', '{}')`,
          values: [randomUUID()],
        }),
      ),
    );
  },
  /** Commits that carry a NOTIFY each: one lock for all of them in Postgres. */
  notify({ count, parallel }) {
    return rate(count, () =>
      inParallel(parallel, count, (n) =>
        pool.query({
          name: 'commit-notify',
          text: `WITH told AS (SELECT pg_notify('raw_limit', $2)) INSERT INTO raw_runs (run_id, status, data) SELECT $1, 'done', '{}' FROM told`,
          values: [randomUUID(), String(n)],
        }),
      ),
    );
  },
  async queue({ count, concurrency }) {
    const connection = { url: REDIS_URL, maxRetriesPerRequest: null };
    const name = `limit-${randomUUID()}`;
    const queue = new Queue(name, {
      connection,
      defaultJobOptions: { removeOnComplete: true, removeOnFail: true },
    });
    await queue.addBulk(
      Array.from({ length: count }, (_, n) => ({ name: 'run', data: { runId: String(n) } })),
    );
    let left = count;
    let finish;
    const finished = new Promise((resolve) => (finish = resolve));
    const worker = new Worker(
      name,
      () => {
        if (--left === 0) finish();
        return Promise.resolve();
      },
      { connection, concurrency, autorun: false },
    );
    const result = await rate(count, async () => {
      void worker.run();
      await finished;
    });
    await worker.close();
    await queue.close();
    return result;
  },
  invoke: ({ graph = 'trivial', count }) =>
    rate(count, async () => {
      for (let n = 0; n < count; n++)
        if ((await GRAPHS[graph].invoke({ n })).n !== n + 1) throw new Error('wrong answer');
    }),
  stream: ({ count, ...plan }) =>
    rate(count, async () => {
      let next = 0;
      const chunks = await emitter.stream({ count, ...plan }, { streamMode: ['custom', 'values'] });
      for await (const [mode, event] of chunks)
        if (mode === 'custom' && event.n !== next++) throw new Error(`event ${event.n}: disorder`);
      if (next !== count) throw new Error(`${next} events of ${count}`);
    }),
});
