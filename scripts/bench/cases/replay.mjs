/** Coming back: to a long run from its start, and to its end, ended or still live. */
import { randomUUID } from 'node:crypto';
import { median, nowUs } from '../clock.mjs';
import { createGate } from '../gate.mjs';
import { openOurs, rawClient } from '../streams.mjs';

const COUNT = 10_000;
const MISSING = 10;

/** The same events in the table of the raw way. */
async function fillRaw(bench) {
  const channel = `c${randomUUID()}`;
  await bench.rawDb.query(
    `INSERT INTO raw_events (thread_id, seq, term, type, data)
     SELECT $1, s, 1, 'custom', '{"n":' || s - 1 || ',"t":1234567890,"p":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}'
     FROM generate_series(1, ${COUNT}) AS s`,
    [channel],
  );
  return channel;
}

/** ms from the request to the last of the expected events; the median of so many tries. */
async function timesToLast(tries, open) {
  const times = [];
  for (let i = 0; i < tries; i++) times.push(await open());
  return { ms: median(times) };
}

async function replayRun(bench) {
  const raw = rawClient(bench);
  const channel = await fillRaw(bench);
  const ended = await (await openOurs(bench, { count: COUNT })).done;
  const path = `${ended.contentLocation}/stream`;
  const expect = { from: 0, count: COUNT };
  const tries = bench.pick(3, 5);
  const once = async (client, url) => {
    const startUs = nowUs();
    const stream = await (await client.stream('GET', url, { expect })).done;
    return (stream.lastUs - startUs) / 1_000;
  };
  const { ours, floor } = await bench.alternate({
    ours: () =>
      bench.cpu('replay', COUNT * tries, () => timesToLast(tries, () => once(bench.client, path))),
    floor: () =>
      bench.cpuRaw('replay', COUNT * tries, () =>
        timesToLast(tries, () => once(raw, `/replay?channel=${channel}&after=0`)),
      ),
  });
  const rate = ({ ms }) => COUNT / (ms / 1_000);
  bench.row({
    id: 'replay/rate',
    title: 'replay of 10,000 archived events',
    unit: 'events/s',
    value: rate(ours),
    baseline: { name: 'SELECT by 1,000 → node:http', value: rate(floor) },
    cpu: 'replay',
  });
  raw.close();
}

async function reconnectRun(bench) {
  const raw = rawClient(bench);
  const channel = await fillRaw(bench);
  const ended = await (await openOurs(bench, { count: COUNT })).done;
  const gate = createGate(bench.folder);
  const live = await openOurs(bench, { count: COUNT, gate: gate.path, gateAfter: COUNT });
  await live.reached(COUNT);
  const tries = bench.pick(20, 50);
  // Id 0 is the metadata event, so event n has id n + 1.
  const lastEventId = COUNT - MISSING;
  const expect = { from: COUNT - MISSING, count: MISSING, idle: true };
  const once = async (client, path, id) => {
    const startUs = nowUs();
    const stream = await client.stream('GET', path, { lastEventId: id, expect });
    await stream.reached(MISSING);
    const ms = (nowUs() - startUs) / 1_000;
    stream.close();
    return ms;
  };
  const { ours, oursLive, floor } = await bench.alternate({
    ours: () =>
      bench.cpu('reconnect', tries, () =>
        timesToLast(tries, () =>
          once(bench.client, `${ended.contentLocation}/stream`, lastEventId),
        ),
      ),
    oursLive: () =>
      timesToLast(tries, () => once(bench.client, `${live.contentLocation}/stream`, lastEventId)),
    floor: () =>
      timesToLast(tries, () =>
        once(raw, `/replay?channel=${channel}&after=${COUNT - MISSING}`, undefined),
      ),
  });
  gate.open();
  await live.done;
  gate.remove();
  const baseline = { name: 'SELECT → node:http', value: floor.ms };
  const title = `reconnect ${MISSING} events before the end of ${COUNT.toLocaleString('en')}`;
  bench.row({
    id: 'reconnect/ended',
    title: `${title}, ended run`,
    unit: 'ms',
    value: ours.ms,
    baseline,
    cpu: 'reconnect',
  });
  bench.row({
    id: 'reconnect/live',
    title: `${title}, live run`,
    unit: 'ms',
    value: oursLive.ms,
    baseline,
    during: 'reconnect',
  });
  raw.close();
}

const common = { paths: ['redis', 'direct'], raw: ['relay'] };
export const replay = { name: 'replay', ...common, run: replayRun };
export const reconnect = { name: 'reconnect', ...common, run: reconnectRun };
