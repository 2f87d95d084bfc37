/** One run, one client: how fast its events come, and how late. */
import { nowUs, quantile } from '../clock.mjs';
import { openOurs, rawClient, spanSeconds, throughRaw } from '../streams.mjs';

async function throughput(bench) {
  const raw = rawClient(bench);
  for (const count of [2_000, bench.pick(20_000, 50_000)]) {
    await (
      await openOurs(bench, { count })
    ).done;
    const { ours, pregel, floor, graph } = await bench.alternate({
      ours: () =>
        bench.cpu(`one-run-${count}`, count, async () => {
          const stream = await (await openOurs(bench, { count })).done;
          return { rate: count / spanSeconds([stream]) };
        }),
      pregel: () =>
        bench.cpu(`one-run-pregel-${count}`, count, async () => {
          const open = openOurs(bench, { count }, { graph: 'pregelEmitter' });
          return { rate: count / spanSeconds([await (await open).done]) };
        }),
      floor: () =>
        bench.cpuRaw(`one-run-${count}`, count, async () => {
          const startUs = nowUs();
          const [stream] = await throughRaw(bench, raw, { count });
          return { rate: count / ((stream.lastUs - startUs) / 1e6) };
        }),
      graph: async () => ({
        rate: (await bench.raw.limits.ask({ kind: 'stream', count })).perSecond,
      }),
    });
    bench.row({
      id: count === 2_000 ? 'one-run/2000' : 'one-run/50000',
      title: `one run → one client, ${count.toLocaleString('en')} events, POST to last`,
      unit: 'events/s',
      value: ours.rate,
      baseline: {
        name:
          bench.path === 'redis'
            ? 'Lua append → PubSub → node:http'
            : 'INSERT → NOTIFY → SELECT → node:http',
        value: floor.rate,
      },
      cpu: `one-run-${count}`,
      note: `bare LangGraph.js stream ${Math.round(graph.rate).toLocaleString('en')}/s`,
    });
    bench.row({
      id: `one-run-pregel/${count === 2_000 ? 2_000 : 50_000}`,
      title: `one run → one client, ${count.toLocaleString('en')} events, our Pregel`,
      unit: 'events/s',
      value: pregel.rate,
      baseline: { name: 'the same', value: floor.rate },
      cpu: `one-run-pregel-${count}`,
    });
  }
  raw.close();
}

async function latency(bench) {
  const raw = rawClient(bench);
  const plan = { perSecond: 1_000, count: bench.pick(2_000, 4_000) };
  const figures = ({ latencies }) => ({
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
  });
  const { ours, floor } = await bench.alternate({
    ours: () =>
      bench.cpu('latency', plan.count, async () =>
        figures(await (await openOurs(bench, plan, { latencies: true })).done),
      ),
    floor: () =>
      bench.cpuRaw('latency', plan.count, async () => {
        const [stream] = await throughRaw(bench, raw, plan, { latencies: true });
        return figures(stream);
      }),
  });
  for (const figure of ['p50', 'p99'])
    bench.row({
      id: `latency/${figure}`,
      title: `emit → client at 1,000 events/s, ${figure}`,
      unit: 'ms',
      value: ours[figure],
      baseline: { name: 'the raw way', value: floor[figure] },
      cpu: figure === 'p50' ? 'latency' : undefined,
      during: 'latency',
    });
  raw.close();
}

const common = {
  quickDirect: true,
  paths: ['redis', 'direct'],
  raw: ['relay', 'publisher', 'limits'],
};
export const oneRun = { name: 'one-run', ...common, run: throughput };
export const oneRunLatency = { name: 'latency', ...common, run: latency };
