/** A 1-node run from the request to its answer: one after another, and 32 at once. */
import { alternate, nowUs, quantile } from '../clock.mjs';
import { inParallel } from '../client.mjs';

async function waits(client, count, parallel) {
  const latencies = [];
  const startUs = nowUs();
  await inParallel(parallel, count, async (n) => {
    const begun = nowUs();
    const answer = await client.json('POST', '/runs/wait', {
      assistant_id: 'trivial',
      input: { n },
    });
    latencies.push((nowUs() - begun) / 1_000);
    if (answer.n !== n + 1) throw new Error(`run ${n} answered ${JSON.stringify(answer)}`);
  });
  return { seconds: (nowUs() - startUs) / 1e6, latencies };
}

const figures = ({ seconds, latencies }) => ({
  rate: latencies.length / seconds,
  p50: quantile(latencies, 0.5),
  p99: quantile(latencies, 0.99),
});

async function sequential(bench) {
  const { client, raw, stack } = bench;
  const count = bench.pick(150, 500);
  await waits(client, 30, 1);
  const { ours, floor } = await alternate(bench.rounds, {
    ours: async () => figures(await bench.cpu('create-wait', count, () => waits(client, count, 1))),
    floor: () =>
      bench.cpuRaw('create-wait', count, async () =>
        figures(await raw.floor.ask({ kind: 'runs', count, parallel: 1 })),
      ),
  });
  const baseline = `INSERT, ${stack.path === 'redis' ? 'BullMQ, ' : ''}UPDATE, invoke, UPDATE in one process`;
  for (const figure of ['p50', 'p99'])
    bench.row({
      id: `create-wait/${figure}`,
      title: `create + wait, one after another, ${figure}`,
      unit: 'ms',
      value: ours[figure],
      baseline: { name: baseline, value: floor[figure] },
      cpu: figure === 'p50' ? 'create-wait' : undefined,
    });
}

async function parallel(bench) {
  const { client, raw } = bench;
  const count = bench.pick(500, 2_000);
  await waits(client, 64, 32);
  const { ours, floor } = await alternate(bench.rounds, {
    ours: async () => figures(await bench.cpu('waits', count, () => waits(client, count, 32))),
    floor: () =>
      bench.cpuRaw('waits', count, async () =>
        figures(await raw.floor.ask({ kind: 'runs', count, parallel: 32 })),
      ),
  });
  bench.row({
    id: 'waits/rate',
    title: 'waits, 32 in parallel',
    unit: 'runs/s',
    value: ours.rate,
    baseline: { name: 'the same floor, 32 at once', value: floor.rate },
    cpu: 'waits',
    note: `p50 ${ours.p50.toFixed(1)} ms, p99 ${ours.p99.toFixed(1)} ms`,
  });
}

const common = {
  quickDirect: true,
  paths: ['redis', 'direct'],
  raw: ['floor'],
};
export const createWait = { name: 'create-wait', ...common, run: sequential };
export const waitsParallel = { name: 'waits', ...common, run: parallel };
