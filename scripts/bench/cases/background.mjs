/** Runs created while the worker stands still, then drained: what one worker process can do, without the cost of creating. */
import { setTimeout as delay } from 'node:timers/promises';
import { alternate, nowUs, sinceMs } from '../clock.mjs';
import { inParallel } from '../client.mjs';

const LOOK_MS = 10;
const DRAIN_MS_MAX = 120_000;

async function drain(bench, count) {
  const { client, stack } = bench;
  await stack.db.query('DELETE FROM threads');
  stack.worker.kill('SIGSTOP');
  const createUs = nowUs();
  let createMs;
  let drainUs;
  try {
    await inParallel(16, count, async (n) => {
      await client.json('POST', '/runs', { assistant_id: 'trivial', input: { n } });
    });
    createMs = sinceMs(createUs);
  } finally {
    drainUs = nowUs();
    stack.worker.kill('SIGCONT');
  }
  await bench.cpu('background', count, async () => {
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

async function run(bench) {
  const count = bench.pick(600, 3_000);
  await drain(bench, 100);
  const { ours, floor } = await alternate(bench.rounds, {
    ours: () => drain(bench, count),
    floor: () =>
      bench.cpuRaw('background', count, async () => {
        const { seconds } = await bench.raw.floor.ask({ kind: 'runs', count, parallel: 64 });
        return { drained: count / seconds };
      }),
  });
  bench.row({
    id: 'background/drained',
    title: 'background runs drained by one worker process',
    unit: 'runs/s',
    value: ours.drained,
    baseline: { name: 'the floor with create, 64 at once', value: floor.drained },
    cpu: 'background',
  });
  bench.row({
    id: 'background/created',
    title: 'background runs accepted, 16 at once, worker stopped',
    unit: 'runs/s',
    value: ours.created,
  });
}

export const background = { name: 'background', paths: ['redis', 'direct'], raw: ['floor'], run };
