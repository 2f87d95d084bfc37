/**
 * From Redis to Postgres: how much the archiver carries, and how far behind it is. What was appended is read from
 * the logs' heads in Redis, what was archived from the threads' rows, both every few ms.
 *
 * The lag at a moment is how long ago the log was where the archive is now.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { alternate, nowUs, quantile } from '../clock.mjs';
import { body } from '../streams.mjs';

const LOOK_MS = 5;
const WAIT_MS_MAX = 120_000;

/** Starts `runs` runs in the background and samples until all is archived. @returns [{atUs, appended, archived}] */
async function sampled(bench, runs, plan) {
  const { client, stack } = bench;
  const { commands } = stack.redis;
  const { createKeys } = await import('../../../dist/redis/keys.js');
  const keys = createKeys(stack.name);
  const created = await Promise.all(
    Array.from({ length: runs }, () => client.json('POST', '/runs', body(plan))),
  );
  const threads = created.map((run) => run.thread_id);
  const samples = [];
  const until = Date.now() + WAIT_MS_MAX;
  const total = runs * (plan.count + 1);
  for (let archived = 0; archived < total;) {
    if (Date.now() > until) throw new Error(`${archived} of ${total} events archived`);
    const pipeline = commands.pipeline();
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
    archived = rows.reduce((sum, row) => sum + Number(row.archived_seq), 0);
    // The log of an ended run is gone from Redis: all of it is archived.
    const appended = heads.reduce(
      (sum, [, last], i) => sum + Math.max(Number(last ?? 0), seqs.get(threads[i]) ?? 0),
      0,
    );
    samples.push({ atUs: nowUs(), appended, archived });
    await delay(LOOK_MS);
  }
  // Complete and in order: the counter in the payload is the row's place in its log.
  const { rows } = await stack.db.query(
    `SELECT count(*)::int AS events, count(*) FILTER (WHERE (data::json->>'n')::int <> seq - 2)::int AS misplaced
     FROM events WHERE thread_id = ANY($1) AND type = 'custom'`,
    [threads],
  );
  if (rows[0].events !== runs * plan.count || rows[0].misplaced !== 0)
    throw new Error(`archive of ${runs} × ${plan.count} events: ${JSON.stringify(rows[0])}`);
  return samples;
}

/** Events a second between a tenth and nine tenths of the way. */
function rateOf(samples) {
  const total = samples.at(-1).archived;
  const from = samples.find((s) => s.archived >= total * 0.1);
  const to = samples.find((s) => s.archived >= total * 0.9);
  return (to.archived - from.archived) / ((to.atUs - from.atUs) / 1e6);
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
  const plan = { count: bench.pick(10_000, 50_000) };
  const RUNS = 8;
  await sampled(bench, RUNS, { count: 1_000 });
  const { ours, floor } = await alternate(Math.min(bench.rounds, 3), {
    ours: () =>
      bench.cpu('archiver', RUNS * plan.count, async () => ({
        rate: rateOf(await sampled(bench, RUNS, plan)),
      })),
    floor: async () => ({
      rate: (
        await bench.raw.limits.ask({
          kind: 'insert',
          batch: 1_000,
          batches: bench.pick(40, 200),
          parallel: 1,
        })
      ).perSecond,
    }),
  });
  bench.row({
    id: 'archiver/rate',
    title: `archived, ${RUNS} runs at full speed (emitting in the same measure)`,
    unit: 'events/s',
    value: ours.rate,
    baseline: { name: 'INSERT of 1,000 events, 1 connection', value: floor.rate },
    cpu: 'archiver',
  });
  const offered = { count: bench.pick(2_000, 10_000), perSecond: 1_000 };
  const lags = lagsOf(await sampled(bench, 10, offered));
  bench.row({
    id: 'archiver/lag-p99',
    title: 'archive behind the log, 10 runs × 1,000 events/s, p99',
    unit: 'ms',
    value: quantile(lags, 0.99),
    note: `p50 ${quantile(lags, 0.5).toFixed(0)} ms; the archiver lets marks rest 60 ms`,
  });
}

export const archiver = { name: 'archiver', paths: ['redis'], raw: ['limits'], run };
