/** Memory of a client that only listens: growth of the server's resident memory, after a first lot has warmed it up. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { inParallel } from '../client.mjs';
import { createGate } from '../gate.mjs';
import { residentBytes } from '../processes.mjs';
import { openOurs, rawClient } from '../streams.mjs';

const SETTLE_MS = 500;

async function kibPerClient(pid, warmUp, clients, open) {
  const streams = [];
  const add = (count) => inParallel(50, count, async () => void streams.push(await open()));
  await add(warmUp);
  await delay(SETTLE_MS);
  const before = residentBytes(pid);
  await add(clients);
  await delay(SETTLE_MS);
  const after = residentBytes(pid);
  for (const stream of streams) stream.close();
  await Promise.all(streams.map((stream) => stream.done));
  return (after - before) / clients / 1_024;
}

async function run(bench) {
  if (residentBytes(process.pid) === undefined) return;
  const raw = rawClient(bench);
  const [warmUp, clients] = bench.pick([500, 1_000], [1_000, 4_000]);
  const gate = createGate(bench.folder);
  const run = await openOurs(bench, { count: 1, gate: gate.path });
  const path = `${run.contentLocation}/stream`;
  const ours = await kibPerClient(bench.stack.server.pid, warmUp, clients, () =>
    bench.client.stream('GET', path, {}),
  );
  gate.open();
  await run.done;
  gate.remove();
  const channel = `c${randomUUID()}`;
  const floor = await kibPerClient(bench.raw.relay.pid, warmUp, clients, () =>
    raw.stream('GET', `/live?channel=${channel}`, {}),
  );
  raw.close();
  bench.row({
    id: 'idle/memory',
    title: `memory of an idle event stream, ${clients.toLocaleString('en')} on one run`,
    unit: 'KiB',
    value: ours,
    baseline: { name: 'node:http', value: floor },
  });
}

export const idleClient = { name: 'idle', paths: ['redis'], raw: ['relay'], run };
