/** 1 → 4 worker processes: what a run costs in all of them together, and what comes of it on this machine's cores. */
import { cpuSum } from '../account.mjs';
import { median, nowUs } from '../clock.mjs';
import { inParallel } from '../client.mjs';
import { rounds, seriesRow } from './flatness.mjs';

const SIZES = [1, 2, 4];
const PARALLEL = 32;

async function waits(bench, count) {
  await inParallel(PARALLEL, count, async (n) => {
    const answer = await bench.client.json('POST', '/runs/wait', {
      assistant_id: 'trivial',
      input: { n },
    });
    if (answer.n !== n + 1) throw new Error(`run ${n} answered ${JSON.stringify(answer)}`);
  });
}

async function run(bench) {
  const { stack } = bench;
  const count = bench.pick(400, 1_500);
  const rates = new Map(SIZES.map((size) => [size, []]));
  try {
    // Each size once a round, one after the other: the workers that come are there for all that follows, so rounds
    // go by sizes here.
    const bySize = [];
    for (const size of SIZES) {
      while (stack.moreWorkers.length < size - 1)
        stack.moreWorkers.push(await stack.startWorker(`worker-${stack.moreWorkers.length + 2}`));
      await waits(bench, 64 * size);
      bySize.push(
        await rounds(bench, [size], async (_, round) => {
          const id = `growth-workers-${size}-${round}`;
          const startUs = nowUs();
          await bench.cpu('growth/workers', count, () =>
            bench.cpu(id, count, () => waits(bench, count)),
          );
          rates.get(size).push(count / ((nowUs() - startUs) / 1e6));
          return cpuSum(bench.costOf(id));
        }),
      );
    }
    const taken = Math.min(...bySize.map((list) => list.length));
    seriesRow(bench, {
      id: 'growth/workers',
      title: `CPU of a run, ${SIZES[0]} → ${SIZES.at(-1)} worker processes`,
      sizes: SIZES,
      from: SIZES[0],
      costs: Array.from({ length: taken }, (_, round) => bySize.map((list) => list[round][0])),
      series: SIZES.map((size, i) => ({
        workers: size,
        'CPU µs a run': median(bySize[i].map(([cost]) => cost)),
        'runs/s': median(rates.get(size)),
      })),
      note: 'more runs a second only with more cores than the processes need',
    });
  } finally {
    await Promise.all(stack.moreWorkers.splice(0).map((worker) => worker.stop()));
  }
}

export const growthWorkers = { name: 'growth-workers', paths: ['redis'], raw: [], run };
