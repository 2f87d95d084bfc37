/** 1 → 5,000 clients on one run: what the server spends on one client more, and how much memory it has then. */
import { median, nowUs } from '../clock.mjs';
import { inParallel } from '../client.mjs';
import { createGate } from '../gate.mjs';
import { openOurs } from '../streams.mjs';
import { rounds, seriesRow } from './flatness.mjs';

const EVENTS = 500;
/** Clients → runs, so that the small ones are more than a tick of the clock. */
const RUNS = { 1: 40, 10: 20, 100: 6, 1_000: 2, 5_000: 1 };

async function deliver(bench, clients, account) {
  const gate = createGate(bench.folder);
  const first = await openOurs(bench, { count: EVENTS, gate: gate.path });
  const path = `${first.contentLocation}/stream`;
  const streams = [first];
  const expect = { from: 0, count: EVENTS, idle: true };
  await inParallel(50, clients - 1, async () => {
    streams.push(await bench.client.stream('GET', path, { expect }));
  });
  await account(async () => {
    gate.open();
    await Promise.all(streams.map((stream) => stream.done));
  });
  gate.remove();
}

async function run(bench) {
  const sizes = bench.pick([1, 10, 100, 1_000], [1, 10, 100, 1_000, 5_000]);
  await deliver(bench, 200, (work) => work());
  const rates = new Map(sizes.map((size) => [size, []]));
  const memory = new Map();
  const perEvent = await rounds(bench, sizes, async (clients, round) => {
    const id = `growth-clients-${clients}-${round}`;
    const runs = bench.pick(Math.ceil(RUNS[clients] / 2), RUNS[clients]);
    let seconds = 0;
    await bench.cpu('growth/clients', runs * EVENTS * clients, async () => {
      for (let i = 0; i < runs; i++)
        await deliver(bench, clients, (work) =>
          bench.cpu(id, EVENTS, async () => {
            const startUs = nowUs();
            await work();
            seconds += (nowUs() - startUs) / 1e6;
          }),
        );
    });
    const cost = bench.costOf(id);
    rates.get(clients).push((runs * EVENTS * clients) / seconds);
    memory.set(clients, Math.max(memory.get(clients) ?? 0, cost.memory.server));
    return cost.us.server / cost.units;
  });
  const marginal = perEvent.map((round) =>
    round.slice(1).map((cost, i) => Math.max(0.001, (cost - round[0]) / (sizes[i + 1] - 1))),
  );
  const at = (list, i) => median(list.map((round) => round[i]));
  seriesRow(bench, {
    id: 'growth/clients',
    title: `the server's CPU of one delivery more, ${sizes[0]} → ${sizes.at(-1).toLocaleString('en')} clients on one run`,
    sizes: sizes.slice(1),
    from: 100,
    costs: marginal,
    series: sizes.map((size, i) => ({
      clients: size,
      'server µs an event': at(perEvent, i),
      'of one delivery more': i === 0 ? undefined : at(marginal, i - 1),
      'delivered a second': median(rates.get(size)),
      'server MiB': memory.get(size) / 1024 ** 2,
    })),
  });
}

export const growthClients = { name: 'growth-clients', paths: ['redis'], raw: [], run };
