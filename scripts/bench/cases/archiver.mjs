/**
 * From Redis to Postgres: how much the archiver carries, and how far behind it is. What was appended is read from
 * the logs' heads in Redis, what was archived from the threads' rows, both every few ms.
 *
 * Alone: no event reaches Postgres while a lock is held on the table, so that the logs are full in Redis when it is let
 * go. Together: the same while the events are made, as in a burst of runs.
 *
 * The lag at a moment is how long ago the log was where the archive is now.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { nowUs, quantile } from '../clock.mjs';
import { createGate } from '../gate.mjs';
import { body } from '../streams.mjs';

const LOOK_MS = 5;
const WAIT_MS_MAX = 120_000;
const RUNS = 8;

/** Starts `runs` runs in the background. @returns their threads, and a look at how far they are */
async function startRuns(bench, runs, plan) {
  const { client, stack } = bench;
  const { createKeys } = await import('../../../dist/redis/keys.js');
  const keys = createKeys(stack.name);
  const created = await Promise.all(
    Array.from({ length: runs }, () => client.json('POST', '/runs', body(plan))),
  );
  const threads = created.map((run) => run.thread_id);
  /** @returns {atUs, appended, archived}: events of all the logs, metadata included */
  async function look() {
    const pipeline = stack.redis.commands.pipeline();
    for (const id of threads) pipeline.hget(keys.log(id).meta, 'l');
    const [heads, { rows }] = await Promise.all([
      pipeline.exec(),
      stack.db.query({
        name: 'archived',
        text: 'SELECT thread_id, archived_seq FROM threads WHERE thread_id = ANY($1)',
        values: [threads],
      }),
    ]);
    const seqs = new Map(rows.map((row) => [row.thread_id, Number(row.archived_seq)]));
    const archived = rows.reduce((sum, row) => sum + Number(row.archived_seq), 0);
    // The log of an ended run is gone from Redis: all of it is archived.
    const appended = heads.reduce(
      (sum, [, last], i) => sum + Math.max(Number(last ?? 0), seqs.get(threads[i]) ?? 0),
      0,
    );
    return { atUs: nowUs(), appended, archived };
  }
  return { threads, look };
}

/** Looks every few ms until `enough`. @returns the looks */
async function until(look, enough) {
  const samples = [];
  const endMs = Date.now() + WAIT_MS_MAX;
  for (;;) {
    const sample = await look();
    samples.push(sample);
    if (enough(sample)) return samples;
    if (Date.now() > endMs) throw new Error(`the archive is still at ${JSON.stringify(sample)}`);
    await delay(LOOK_MS);
  }
}

/** Complete and in order: the counter in the payload is the row's place in its log. */
async function check(bench, threads, events) {
  const { rows } = await bench.stack.db.query(
    `SELECT count(*)::int AS events, count(*) FILTER (WHERE (data::json->>'n')::int <> seq - 2)::int AS misplaced
     FROM events WHERE thread_id = ANY($1) AND type = 'custom'`,
    [threads],
  );
  if (rows[0].events !== events || rows[0].misplaced !== 0)
    throw new Error(`archive of ${events} events: ${JSON.stringify(rows[0])}`);
}

async function together(bench, runs, plan) {
  const { threads, look } = await startRuns(bench, runs, plan);
  const samples = await until(look, ({ archived }) => archived === runs * (plan.count + 1));
  await check(bench, threads, runs * plan.count);
  return samples;
}

async function alone(bench, count) {
  const gate = createGate(bench.folder);
  const holder = await bench.stack.db.connect();
  try {
    await holder.query('BEGIN');
    await holder.query('LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE');
    const { threads, look } = await startRuns(bench, RUNS, {
      count,
      gate: gate.path,
      gateAfter: count,
    });
    const total = RUNS * (count + 1);
    await until(look, ({ appended }) => appended === total);
    const samples = await bench.cpu('archiver-alone', total, async () => {
      await holder.query('COMMIT');
      return until(look, ({ archived }) => archived === total);
    });
    gate.open();
    await check(bench, threads, RUNS * count);
    await until(
      async () =>
        (
          await bench.stack.db.query(
            `SELECT count(*)::int AS n FROM runs WHERE thread_id = ANY($1) AND status IN ('pending', 'running')`,
            [threads],
          )
        ).rows[0],
      ({ n }) => n === 0,
    );
    return rateOf(samples);
  } finally {
    // Also after a failure: runs that wait for ever would disturb what comes next.
    gate.open();
    holder.release(true);
  }
}

/** Events a second between a tenth and nine tenths of the way. */
function rateOf(samples) {
  const total = samples.at(-1).archived;
  const from = samples.find((s) => s.archived >= total * 0.1);
  const to = samples.find((s) => s.archived >= total * 0.9);
  // All between two looks: the looks before and after are the best there is.
  const before = from === to ? (samples[samples.indexOf(to) - 1] ?? samples[0]) : from;
  return (to.archived - before.archived) / ((to.atUs - before.atUs) / 1e6);
}

/** ms, one a sample. */
function lagsOf(samples) {
  let then = 0;
  return samples.map(({ atUs, archived }) => {
    while (samples[then].appended < archived) then++;
    // Nothing waits: no lag. Else the log passed this place just before sample `then + 1`.
    if (samples[then].atUs >= atUs) return 0;
    const next =
      samples[Math.min(then + (samples[then].appended === archived ? 1 : 0), samples.length - 1)];
    return Math.max(0, (atUs - next.atUs) / 1_000);
  });
}

async function run(bench) {
  await together(bench, RUNS, { count: 1_000 });
  // Below LOG_UNARCHIVED_MAX: above it the writer would archive by itself, and wait for the lock.
  const count = bench.pick(5_000, 15_000);
  const rounds = Math.min(bench.rounds, 3);
  const { ours, emitting, floor } = await bench.alternate(
    {
      ours: async () => ({ rate: await alone(bench, count) }),
      emitting: () =>
        bench.cpu('archiver-emitting', RUNS * count, async () => ({
          rate: rateOf(await together(bench, RUNS, { count })),
        })),
      floor: async () => ({
        rate: (await bench.raw.archive.ask({ kind: 'drain', count: RUNS * count })).perSecond,
      }),
    },
    { rounds },
  );
  const baseline = { name: 'XREADGROUP → INSERT → XACK, one stream', value: floor.rate };
  bench.row({
    id: 'archiver/rate',
    title: `archiver, ${RUNS} logs × ${count.toLocaleString('en')} events that lie in Redis`,
    unit: 'events/s',
    value: ours.rate,
    baseline,
    cpu: 'archiver-alone',
  });
  bench.row({
    id: 'archiver/emitting',
    title: `made and archived, ${RUNS} runs at full speed`,
    unit: 'events/s',
    value: emitting.rate,
    baseline,
    cpu: 'archiver-emitting',
  });
  const [offered, seconds] = [10_000, bench.pick(2, 4)];
  const plan = { count: (offered / 10) * seconds, perSecond: offered / 10 };
  const lags = await bench.alternate(
    {
      ours: () =>
        bench.cpu('archiver-lag', 10 * plan.count, async () => {
          const all = lagsOf(await together(bench, 10, plan));
          return { p50: quantile(all, 0.5), p99: quantile(all, 0.99) };
        }),
      floor: () =>
        bench.raw.archive.ask({ kind: 'lag', count: offered * seconds, perSecond: offered }),
    },
    { rounds },
  );
  bench.row({
    id: 'archiver/lag-p99',
    title: 'archive behind the log, 10 runs × 1,000 events/s, p99',
    unit: 'ms',
    value: lags.ours.p99,
    baseline: { name: 'the same with a gather of 20 ms', value: lags.floor.p99 },
    cpu: 'archiver-lag',
    note: `p50 ${lags.ours.p50.toFixed(0)} ms; the archiver lets marks rest 60 ms`,
  });
}

export const archiver = { name: 'archiver', paths: ['redis'], raw: ['archive'], run };
