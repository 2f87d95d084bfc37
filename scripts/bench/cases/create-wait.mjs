/** A 1-node run from the request to its answer: one after another, and 32 at once; of LangGraph.js and of our Pregel. */
import { nowUs, quantile } from '../clock.mjs';
import { inParallel } from '../client.mjs';

async function waits(client, graph, count, parallel) {
  const latencies = [];
  const startUs = nowUs();
  await inParallel(parallel, count, async (n) => {
    const begun = nowUs();
    const answer = await client.json('POST', '/runs/wait', {
      assistant_id: graph,
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

const title = (graph) => (graph === 'pregel' ? ', our Pregel' : '');

const sequential = (id, graph) => async (bench) => {
  const { client, raw } = bench;
  const count = bench.pick(150, 500);
  await waits(client, graph, 30, 1);
  const { ours, floor } = await bench.alternate({
    ours: async () => figures(await bench.cpu(id, count, () => waits(client, graph, count, 1))),
    floor: () =>
      bench.cpuRaw(id, count, async () =>
        figures(await raw.floor.ask({ kind: 'runs', graph, count, parallel: 1 })),
      ),
  });
  const queue = bench.path === 'redis' ? 'BullMQ, ' : '';
  const name = `INSERT, ${queue}UPDATE, invoke, UPDATE in one process`;
  for (const figure of ['p50', 'p99'])
    bench.row({
      id: `${id}/${figure}`,
      title: `create + wait, one after another${title(graph)}, ${figure}`,
      unit: 'ms',
      value: ours[figure],
      baseline: { name, value: floor[figure] },
      cpu: figure === 'p50' ? id : undefined,
      during: id,
    });
};

const parallel = (id, graph) => async (bench) => {
  const { client, raw } = bench;
  const count = bench.pick(500, 2_000);
  await waits(client, graph, 64, 32);
  const { ours, floor } = await bench.alternate({
    ours: async () => figures(await bench.cpu(id, count, () => waits(client, graph, count, 32))),
    floor: () =>
      bench.cpuRaw(id, count, async () =>
        figures(await raw.floor.ask({ kind: 'runs', graph, count, parallel: 32 })),
      ),
  });
  bench.row({
    id: `${id}/rate`,
    title: `waits, 32 in parallel${title(graph)}`,
    unit: 'runs/s',
    value: ours.rate,
    baseline: { name: 'the same floor, 32 at once', value: floor.rate },
    cpu: id,
    note: `p50 ${ours.p50.toFixed(1)} ms, p99 ${ours.p99.toFixed(1)} ms`,
  });
};

const one = (name, run, options = {}) => ({
  name,
  paths: ['redis', 'direct'],
  raw: ['floor'],
  quickDirect: true,
  run,
  ...options,
});
export const createWait = one('create-wait', sequential('create-wait', 'trivial'));
export const createWaitPregel = one(
  'create-wait-pregel',
  sequential('create-wait-pregel', 'pregel'),
  { paths: ['redis'] },
);
export const waitsParallel = one('waits', parallel('waits', 'trivial'));
export const waitsPregel = one('waits-pregel', parallel('waits-pregel', 'pregel'), {
  quickDirect: false,
});
