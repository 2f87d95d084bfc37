/**
 * 10 → 10,000 threads: what a run costs when that many are there, with their runs, events and checkpoints; and when that
 * many runs wait at once.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { cpuSum } from '../account.mjs';
import { median, sinceMs, nowUs } from '../clock.mjs';
import { inParallel } from '../client.mjs';
import { rounds, seriesRow } from './flatness.mjs';

const PROBES = 300;
const EVENTS = 10;
const PARALLEL = 8;
const LOOK_MS = 50;
/** A size that would take longer than this to fill, by what the last one took, is left out, and those after it. */
const FILL_MS_MAX = 150_000;

const plan = { count: EVENTS, yieldEvery: 0 };
const body = (graph, input) => ({
  assistant_id: graph,
  input,
  stream_mode: ['custom'],
  if_not_exists: 'create',
});

/** Background runs on so many new threads, all accepted before the worker may begin. @returns the threads */
async function fill(bench, id, count) {
  const { client, stack } = bench;
  const threads = Array.from({ length: count }, () => randomUUID());
  stack.worker.kill('SIGSTOP');
  try {
    await inParallel(16, count, (n) =>
      client.json('POST', `/threads/${threads[n]}/runs`, body('emitter', plan)),
    );
  } finally {
    stack.worker.kill('SIGCONT');
  }
  await bench.cpu(id, count, async () => {
    for (;;) {
      const { rows } = await stack.db.query(
        `SELECT 1 FROM runs WHERE status IN ('pending', 'running') LIMIT 1`,
      );
      if (rows.length === 0) break;
      await delay(LOOK_MS);
    }
  });
  const { rows } = await stack.db.query(
    `SELECT count(*)::int AS n FROM runs WHERE thread_id = ANY($1) AND status = 'success'`,
    [threads],
  );
  if (rows[0].n !== count) throw new Error(`${rows[0].n} of ${count} runs succeeded`);
  return threads;
}

/** Runs spread over all threads, some at once, never two on one thread. */
async function probe(bench, id, threads) {
  const step = threads.length / Math.min(PROBES, threads.length);
  await bench.cpu(id, PROBES, () =>
    inParallel(PARALLEL, PROBES, async (n) => {
      const thread = threads[Math.floor((n * step) % threads.length)];
      const answer = await bench.client.json('POST', `/threads/${thread}/runs/wait`, {
        assistant_id: 'trivial',
        input: { n },
      });
      if (answer.n !== n + 1) throw new Error(`run ${n} answered ${JSON.stringify(answer)}`);
    }),
  );
  return cpuSum(bench.costOf(id));
}

async function run(bench) {
  const wanted = bench.pick([10, 100, 1_000], [10, 100, 1_000, 10_000]);
  const threads = [];
  const sizes = [];
  const drained = [];
  const probed = [];
  let fillMs = 0;
  // Warm, so that the first size is no dearer for being the first.
  await probe(bench, 'growth-threads-warm-up', await fill(bench, 'growth-warm-up', 20));
  await bench.stack.db.query('DELETE FROM threads');
  for (const size of wanted) {
    if (fillMs * 10 > FILL_MS_MAX) break;
    const id = `growth-fill-${size}`;
    const startUs = nowUs();
    threads.push(...(await fill(bench, id, size - threads.length)));
    fillMs = sinceMs(startUs);
    drained.push(cpuSum(bench.costOf(id)));
    const costs = await rounds(bench, [size], (_, round) =>
      bench.cpu('growth/threads', PROBES, () =>
        probe(bench, `growth-probe-${size}-${round}`, threads),
      ),
    );
    sizes.push(size);
    probed.push(costs.map(([cost]) => cost));
  }
  const taken = Math.min(...probed.map((list) => list.length));
  seriesRow(bench, {
    id: 'growth/threads',
    title: `CPU of a run, ${sizes[0]} → ${sizes.at(-1).toLocaleString('en')} threads with history`,
    sizes,
    from: sizes[0],
    costs: Array.from({ length: taken }, (_, round) => probed.map((list) => list[round])),
    note:
      sizes.length < wanted.length
        ? `this machine is too busy for ${wanted.slice(sizes.length).join(', ')}`
        : undefined,
    series: sizes.map((size, i) => ({
      threads: size,
      'CPU µs of a trivial run on one of them': median(probed[i]),
      'of a run of 10 events, drained': drained[i],
    })),
  });
  // From 100 on: at 10, ten runs are all there is to share what a worker does beside them.
  if (sizes.length > 2)
    seriesRow(bench, {
      id: 'growth/backlog',
      title: `CPU of a background run of 10 events, ${sizes[1]} → ${sizes.at(-1).toLocaleString('en')} threads at once`,
      sizes,
      from: sizes[1],
      costs: [drained],
    });
}

export const growthThreads = { name: 'growth-threads', paths: ['redis'], raw: [], run };
