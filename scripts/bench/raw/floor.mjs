/**
 * The least that a durable run can be made of, in one process and without HTTP: INSERT, BullMQ, UPDATE … running, the
 * graph, UPDATE … success, each commit synced. No thread, lease, fence, event or checkpoint.
 */
import { randomUUID } from 'node:crypto';
import { Queue, Worker } from 'bullmq';
import pg from 'pg';
import { pregel, trivial } from '../project/graphs.mjs';
import { serve } from './serve.mjs';

const { REDIS_URL, DATABASE_URL } = process.env;
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 20 });
const nowUs = () => Number(process.hrtime.bigint()) / 1_000;
const GRAPHS = { trivial, pregel };
let graph = trivial;
const waiting = new Map();

async function execute(runId) {
  const { rows } = await pool.query({
    name: 'claim',
    text: `UPDATE raw_runs SET status = 'running' WHERE run_id = $1 AND status = 'pending' RETURNING data`,
    values: [runId],
  });
  const output = await graph.invoke(rows[0].data);
  await pool.query({
    name: 'finish',
    text: `UPDATE raw_runs SET status = 'success', data = $2 WHERE run_id = $1`,
    values: [runId, JSON.stringify(output)],
  });
  waiting.get(runId)(output);
  waiting.delete(runId);
}

let add = (runId) => void execute(runId);
if (REDIS_URL) {
  const connection = { url: REDIS_URL, maxRetriesPerRequest: null };
  const queue = new Queue('floor', {
    connection,
    defaultJobOptions: { removeOnComplete: true, removeOnFail: true },
  });
  const worker = new Worker('floor', (job) => execute(job.data.runId), {
    connection,
    concurrency: 64,
  });
  await worker.waitUntilReady();
  add = (runId) => void queue.add('run', { runId });
}

async function run(n) {
  const runId = randomUUID();
  await pool.query({
    name: 'create',
    text: `INSERT INTO raw_runs (run_id, status, data) VALUES ($1, 'pending', $2)`,
    values: [runId, JSON.stringify({ n })],
  });
  const ended = new Promise((resolve) => waiting.set(runId, resolve));
  add(runId);
  const output = await ended;
  if (output.n !== n + 1) throw new Error(`run ${n} answered ${JSON.stringify(output)}`);
}

serve(undefined, {
  /** @returns {seconds, latencies: ms[]} */
  async runs({ graph: name = 'trivial', count, parallel }) {
    graph = GRAPHS[name];
    const latencies = [];
    let next = 0;
    const startUs = nowUs();
    await Promise.all(
      Array.from({ length: parallel }, async () => {
        while (next < count) {
          const begun = nowUs();
          await run(next++);
          latencies.push((nowUs() - begun) / 1_000);
        }
      }),
    );
    return { seconds: (nowUs() - startUs) / 1e6, latencies };
  },
});
