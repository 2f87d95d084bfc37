/** Runs created while the worker stands still, then drained: what one worker process can do, without the cost of creating. */
import { setTimeout as delay } from 'node:timers/promises';
import { nowUs, sinceMs } from '../clock.mjs';
import { inParallel } from '../client.mjs';

const LOOK_MS = 10;
const DRAIN_MS_MAX = 120_000;

async function drain(bench, id, graph, count) {
  const { client, stack } = bench;
  await stack.db.query('DELETE FROM threads');
  stack.worker.kill('SIGSTOP');
  const createUs = nowUs();
  let createMs;
  let drainUs;
  try {
    await inParallel(16, count, async (n) => {
      await client.json('POST', '/runs', { assistant_id: graph, input: { n } });
    });
    createMs = sinceMs(createUs);
  } finally {
    drainUs = nowUs();
    stack.worker.kill('SIGCONT');
  }
  await bench.cpu(id, count, async () => {
    for (;;) {
      const { rows } = await stack.db.query(`SELECT 1 FROM runs WHERE status = 'pending' LIMIT 1`);
      const { rows: running } =
        rows.length > 0
          ? { rows }
          : await stack.db.query(`SELECT 1 FROM runs WHERE status = 'running' LIMIT 1`);
      if (running.length === 0) break;
      if (sinceMs(drainUs) > DRAIN_MS_MAX) throw new Error('the runs are not drained');
      await delay(LOOK_MS);
    }
  });
  const seconds = sinceMs(drainUs) / 1_000;
  // Each run's answer is its number + 1, each number once.
  const { rows } = await stack.db.query(
    `SELECT count(*)::int AS runs, count(DISTINCT t."values"->>'n')::int AS answers,
       min((t."values"->>'n')::int) AS first, max((t."values"->>'n')::int) AS last
     FROM runs r JOIN threads t USING (thread_id) WHERE r.status = 'success'`,
  );
  const { runs, answers, first, last } = rows[0];
  if (runs !== count || answers !== count || first !== 1 || last !== count)
    throw new Error(`of ${count} runs: ${JSON.stringify(rows[0])}`);
  return { drained: count / seconds, created: count / (createMs / 1_000) };
}

const drained = (id, graph) => async (bench) => {
  const count = bench.pick(600, 2_000);
  await drain(bench, `${id}-warm-up`, graph, 100);
  const { ours, floor } = await bench.alternate({
    ours: () => drain(bench, id, graph, count),
    floor: () =>
      bench.cpuRaw(id, count, async () => {
        const { seconds } = await bench.raw.floor.ask({ kind: 'runs', graph, count, parallel: 64 });
        return { drained: count / seconds };
      }),
  });
  bench.row({
    id: `${id}/drained`,
    title: `background runs drained by one worker process${graph === 'pregel' ? ', our Pregel' : ''}`,
    unit: 'runs/s',
    value: ours.drained,
    baseline: { name: 'the floor with create, 64 at once', value: floor.drained },
    cpu: id,
  });
  if (graph === 'pregel') return;
  bench.row({
    id: `${id}/created`,
    title: 'background runs accepted, 16 at once, worker stopped',
    unit: 'runs/s',
    value: ours.created,
    during: id,
  });
};

export const background = {
  name: 'background',
  paths: ['redis', 'direct'],
  raw: ['floor'],
  run: drained('background', 'trivial'),
};
export const backgroundPregel = {
  name: 'background-pregel',
  paths: ['redis'],
  raw: ['floor'],
  run: drained('background-pregel', 'pregel'),
};
