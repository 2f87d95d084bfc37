/**
 * Many clients on one run: an event is encoded once and written as often as there are clients. At full speed,
 * where events travel in batches, and event by event, where each is a write of its own for each client.
 */
import { randomUUID } from 'node:crypto';
import { nowUs, quantile } from '../clock.mjs';
import { inParallel } from '../client.mjs';
import { createGate } from '../gate.mjs';
import { openOurs, rawClient } from '../streams.mjs';

/** From when the run may begin to the last event of the last client. */
function figures(streams, count, startUs) {
  const last = Math.max(...streams.map((s) => s.lastUs));
  // Every tenth client is enough for a quantile.
  const ages = streams.filter((_, i) => i % 10 === 0).flatMap((s) => s.latencies);
  return {
    rate: (streams.length * count) / ((last - startUs) / 1e6),
    p99: quantile(ages, 0.99),
  };
}

/** @returns `clients` open streams */
async function openAll(clients, open) {
  const streams = [];
  await inParallel(50, clients, async () => void streams.push(await open()));
  return streams;
}

async function ours(bench, clients, plan, id) {
  const gate = createGate(bench.folder);
  const first = await openOurs(bench, { ...plan, gate: gate.path }, { latencies: true });
  const path = `${first.contentLocation}/stream`;
  const options = { expect: { from: 0, count: plan.count, idle: true }, latencies: true };
  const others = await openAll(clients - 1, () => bench.client.stream('GET', path, options));
  return bench.cpu(id, clients * plan.count, async () => {
    const startUs = nowUs();
    gate.open();
    const streams = await Promise.all([first, ...others].map((stream) => stream.done));
    gate.remove();
    return figures(streams, plan.count, startUs);
  });
}

async function floor(bench, raw, clients, plan) {
  const channel = `c${randomUUID()}`;
  const options = { expect: { from: 0, count: plan.count, idle: true }, latencies: true };
  const path = `/live?channel=${channel}`;
  const streams = await openAll(clients, () => raw.stream('GET', path, options));
  const startUs = nowUs();
  await bench.raw.publisher.ask({ kind: 'publish', channels: [channel], ...plan });
  return figures(await Promise.all(streams.map((s) => s.done)), plan.count, startUs);
}

async function run(bench) {
  const raw = rawClient(bench);
  const clients = 1_000;
  const title = `${clients.toLocaleString('en')} clients on one run`;
  const baseline = (value) => ({ name: 'the raw way', value });
  const both = (plan, id) =>
    bench.alternate(
      {
        ours: () => ours(bench, clients, plan, id),
        floor: () => bench.cpuRaw(id, clients * plan.count, () => floor(bench, raw, clients, plan)),
      },
      { rounds: Math.min(bench.rounds, 3) },
    );

  const burst = await both({ count: bench.pick(500, 2_000) }, 'fan-out');
  bench.row({
    id: 'fan-out/rate',
    title: `${title}, full speed, delivered`,
    unit: 'events/s',
    value: burst.ours.rate,
    baseline: baseline(burst.floor.rate),
    cpu: 'fan-out',
  });
  // Above the target, below what raw node:http managed when the targets were set.
  const perSecond = Math.round(400_000 / clients);
  const paced = await both({ count: perSecond * bench.pick(1, 3), perSecond }, 'fan-out-paced');
  bench.row({
    id: 'fan-out/paced-rate',
    title: `${title}, ${perSecond} events/s each by itself, delivered`,
    unit: 'events/s',
    value: paced.ours.rate,
    baseline: baseline(paced.floor.rate),
    cpu: 'fan-out-paced',
  });
  bench.row({
    id: 'fan-out/paced-p99',
    title: `${title}, ${perSecond} events/s each by itself, p99`,
    unit: 'ms',
    value: paced.ours.p99,
    baseline: baseline(paced.floor.p99),
    during: 'fan-out-paced',
  });
  raw.close();
}

export const fanOut = {
  name: 'fan-out',
  paths: ['redis'],
  raw: ['relay', 'publisher'],
  run,
};
