/** 1 → 100,000 events a run: what one more event costs, and what it costs to come back to the end. */
import { cpuSum } from '../account.mjs';
import { median, nowUs } from '../clock.mjs';
import { openOurs } from '../streams.mjs';
import { rounds, seriesRow } from './flatness.mjs';

/** Events → runs of that length, one after another, so that each size is some 10,000 events or more of work. */
const RUNS = { 1: 200, 10: 200, 100: 100, 1_000: 20, 10_000: 4, 100_000: 1 };
const TRIES = 9;
const MISSING = 10;

async function comeBackMs(bench, stream, count) {
  const times = [];
  const expect = { from: count - MISSING, count: MISSING };
  for (let i = 0; i < TRIES; i++) {
    const startUs = nowUs();
    const again = await bench.client.stream('GET', `${stream.contentLocation}/stream`, {
      lastEventId: count - MISSING,
      expect,
    });
    await again.done;
    times.push((again.lastUs - startUs) / 1_000);
  }
  return median(times);
}

async function run(bench) {
  const sizes = bench.pick([1, 10, 100, 1_000, 10_000], [1, 10, 100, 1_000, 10_000, 100_000]);
  await (
    await openOurs(bench, { count: 10_000 })
  ).done;
  const back = new Map(sizes.map((size) => [size, []]));
  const perRun = await rounds(bench, sizes, async (count, round) => {
    const id = `growth-events-${count}-${round}`;
    let last;
    const runs = bench.pick(Math.ceil(RUNS[count] / 4), RUNS[count]);
    await bench.cpu('growth/events', runs * count, () =>
      bench.cpu(id, runs, async () => {
        for (let i = 0; i < runs; i++) last = await (await openOurs(bench, { count })).done;
      }),
    );
    if (count >= 100) back.get(count).push(await comeBackMs(bench, last, count));
    return cpuSum(bench.costOf(id));
  });
  // What a run costs before its first event is taken off: the question is what one event more costs.
  const marginal = perRun.map((round) =>
    round.slice(1).map((cost, i) => Math.max(0.1, (cost - round[0]) / (sizes[i + 1] - 1))),
  );
  const at = (list, i) => median(list.map((round) => round[i]));
  const longer = sizes.slice(1);
  seriesRow(bench, {
    id: 'growth/events',
    title: `CPU of one event more, ${sizes[0]} → ${sizes.at(-1).toLocaleString('en')} events a run`,
    sizes: longer,
    from: 100,
    costs: marginal,
    series: sizes.map((size, i) => ({
      'events a run': size,
      'CPU µs a run': at(perRun, i),
      'of one event more': i === 0 ? undefined : at(marginal, i - 1),
      'reconnect at the end, ms': size >= 100 ? median(back.get(size)) : undefined,
    })),
  });
  const judged = sizes.filter((size) => size >= 100);
  seriesRow(bench, {
    id: 'growth/reconnect',
    title: 'time to come back to the end of such a run',
    sizes: judged,
    from: 100,
    costs: perRun.map((_, round) => judged.map((size) => back.get(size)[round])),
  });
}

export const growthEvents = { name: 'growth-events', paths: ['redis'], raw: [], run };
