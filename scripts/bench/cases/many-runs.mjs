/** 50 runs of 200 events at once, each with its client: all of them must begin soon, and none may starve. */
import { nowUs, quantile } from '../clock.mjs';
import { openOurs, rawClient, spanSeconds, throughRaw } from '../streams.mjs';

const RUNS = 50;
const COUNT = 200;

async function once(bench, plan) {
  const startUs = nowUs();
  const streams = await Promise.all(
    Array.from(
      { length: RUNS },
      async () => (await openOurs(bench, plan, { latencies: true })).done,
    ),
  );
  return figures(streams, startUs);
}

const figures = (streams, startUs) => ({
  rate: (streams.length * COUNT) / spanSeconds(streams),
  p99: quantile(
    streams.flatMap((s) => s.latencies),
    0.99,
  ),
  begun: (Math.max(...streams.map((s) => s.firstUs)) - startUs) / 1_000,
});

async function run(bench) {
  const raw = rawClient(bench);
  const plan = { count: COUNT };
  await once(bench, plan);
  const { ours, floor } = await bench.alternate({
    ours: () => bench.cpu('many-runs', RUNS * COUNT, () => once(bench, plan)),
    floor: () =>
      bench.cpuRaw('many-runs', RUNS * COUNT, async () => {
        const startUs = nowUs();
        const streams = await throughRaw(bench, raw, plan, { runs: RUNS, latencies: true });
        return figures(streams, startUs);
      }),
  });
  const title = `${RUNS} runs × ${COUNT} events at once`;
  bench.row({
    id: 'many-runs/rate',
    title: `${title}, all told`,
    unit: 'events/s',
    value: ours.rate,
    baseline: { name: 'the raw way', value: floor.rate },
    cpu: 'many-runs',
  });
  bench.row({
    id: 'many-runs/p99',
    title: `${title}, emit → client p99`,
    unit: 'ms',
    value: ours.p99,
    baseline: { name: 'the raw way', value: floor.p99 },
    during: 'many-runs',
  });
  bench.row({
    id: 'many-runs/begun',
    title: `${title}, until all have begun`,
    unit: 'ms',
    value: ours.begun,
    baseline: { name: 'the raw way', value: floor.begun },
    during: 'many-runs',
  });
  // 2,500 events/s offered: far below the limit, so what is late here waits for something.
  const slowly = { count: COUNT, perSecond: 50 };
  const paced = await bench.alternate(
    {
      ours: () => bench.cpu('many-runs-paced', RUNS * COUNT, () => once(bench, slowly)),
      floor: async () => {
        const startUs = nowUs();
        const options = { runs: RUNS, latencies: true };
        return figures(await throughRaw(bench, raw, slowly, options), startUs);
      },
    },
    { rounds: 1 },
  );
  bench.row({
    id: 'many-runs/paced-begun',
    title: `${title}, 20 ms between events: first event, worst`,
    unit: 'ms',
    value: paced.ours.begun,
    baseline: { name: 'the raw way', value: paced.floor.begun },
    cpu: 'many-runs-paced',
    note: `emit → client p99 ${paced.ours.p99.toFixed(1)} ms, the raw way ${paced.floor.p99.toFixed(1)} ms`,
  });
  raw.close();
}

export const manyRuns = {
  name: 'many-runs',
  paths: ['redis', 'direct'],
  raw: ['relay', 'publisher'],
  run,
};
