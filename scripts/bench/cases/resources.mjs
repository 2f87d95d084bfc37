/**
 * What a run and an event take besides time: WAL, syncs of it, commits, NOTIFYs, bytes on disk, memory of Redis. A run is
 * trivial, one after another and 32 at once (where commits share a sync); an event is one of a long run. The scaling model
 * lives on these.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { inParallel } from '../client.mjs';
import { createGate } from '../gate.mjs';
import { openOurs } from '../streams.mjs';

/** Postgres' processes tell their counts this long after they have become idle (PGSTAT_IDLE_INTERVAL). */
const SETTLE_MS = 10_500;
const TRIM_MS = 500;

/** Counters of Postgres and Redis; in bytes, or a number of times. */
async function counters({ stack }) {
  const { admin } = stack.postgres;
  const query = async (text, values) => (await admin.query(text, values)).rows[0];
  await admin.query('SELECT pg_stat_force_next_flush()');
  const wal = await query(`SELECT (pg_current_wal_insert_lsn() - '0/0')::float8 AS "walBytes"`);
  // Since Postgres 18 here and no longer in pg_stat_wal.
  const io = await query(
    `SELECT coalesce(sum(fsyncs), 0)::float8 AS "syncs" FROM pg_stat_io WHERE object = 'wal'`,
  ).catch(() => query(`SELECT wal_sync::float8 AS "syncs" FROM pg_stat_wal`));
  const database = await query(
    `SELECT xact_commit::float8 AS "transactions", pg_database_size($1)::float8 AS "diskBytes"
     FROM pg_stat_database WHERE datname = $1`,
    [stack.name],
  );
  const notifies = await query(
    `SELECT coalesce(sum(s.rows), 0)::float8 AS "notifies"
     FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
     WHERE d.datname = $1 AND s.query LIKE 'SELECT pg_notify%'`,
    [stack.name],
  );
  return { ...wal, ...io, ...database, ...notifies, ...(await redisCounters(stack)) };
}

async function redisCounters({ path, redis }) {
  if (path !== 'redis') return {};
  const stats = await redis.commands.info('stats');
  return {
    redisBytes: await redisMemory(redis),
    redisNetBytes: [...stats.matchAll(/^total_net_(?:in|out)put_bytes:(\d+)/gm)].reduce(
      (sum, [, n]) => sum + Number(n),
      0,
    ),
  };
}

const redisMemory = async ({ commands }) =>
  Number(/^used_memory:(\d+)/m.exec(await commands.info('memory'))[1]);

/**
 * @returns a function (units, work) → what `work` added to each counter, a unit; what an idle system adds in those seconds
 * is little. The state after one piece of work is the state before the next: each wait is a long one.
 */
async function createMeter(bench) {
  await delay(SETTLE_MS);
  let before = await counters(bench);
  return async (units, work) => {
    await work();
    await delay(SETTLE_MS);
    const after = await counters(bench);
    const used = Object.keys(before).map((name) => [name, (after[name] - before[name]) / units]);
    before = after;
    return Object.fromEntries(used);
  };
}

const runs = (bench, count, parallel) => () =>
  inParallel(parallel, count, async (n) => {
    const answer = await bench.client.json('POST', '/runs/wait', {
      assistant_id: 'trivial',
      input: { n },
    });
    if (answer.n !== n + 1) throw new Error(`run ${n} answered ${JSON.stringify(answer)}`);
  });

/** Redis memory of an event: the table is locked, so that nothing is archived and trimmed. */
async function redisBytesOfEvent(bench, count) {
  const gate = createGate(bench.folder);
  const holder = await bench.stack.db.connect();
  try {
    await holder.query('BEGIN');
    await holder.query('LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE');
    const before = await redisMemory(bench.stack.redis);
    const stream = await openOurs(bench, { count, gate: gate.path, gateAfter: count });
    await stream.reached(count);
    await delay(TRIM_MS);
    const bytes = (await redisMemory(bench.stack.redis)) - before;
    await holder.query('COMMIT');
    gate.open();
    await stream.done;
    return bytes / count;
  } finally {
    // Also after a failure: runs that wait for ever would disturb what comes next.
    gate.open();
    holder.release(true);
  }
}

const NAMES = {
  walBytes: 'WAL, bytes',
  syncs: 'syncs of the WAL',
  transactions: 'transactions',
  diskBytes: 'growth of the database, bytes',
  notifies: 'NOTIFYs',
  redisBytes: 'growth of Redis, bytes',
  redisNetBytes: 'network of Redis, bytes',
};
const detail = (figures) => Object.entries(figures).map(([name, n]) => [NAMES[name], n]);

async function run(bench) {
  const count = bench.pick(200, 1_000);
  await runs(bench, 50, 8)();
  const used = await createMeter(bench);
  const alone = await used(count, runs(bench, count, 1));
  const parallel = await used(count, runs(bench, count, 32));
  const floor = await used(count, () => bench.raw.floor.ask({ kind: 'runs', count, parallel: 32 }));
  bench.row({
    id: 'resources/run-alone',
    title: 'syncs of the WAL, a trivial run, one after another',
    unit: '',
    value: alone.syncs,
    detail: detail(alone),
    resources: alone,
  });
  bench.row({
    id: 'resources/run',
    title: 'WAL of a trivial run, 32 in parallel',
    unit: 'bytes',
    value: parallel.walBytes,
    baseline: { name: 'the floor', value: floor.walBytes },
    detail: detail(parallel),
    resources: parallel,
  });
  const events = bench.pick(10_000, 40_000);
  const event = await used(events, async () => {
    await (
      await openOurs(bench, { count: events })
    ).done;
  });
  const rawEvent = await used(events, () =>
    bench.raw.limits.ask({ kind: 'insert', batch: 1_000, batches: events / 1_000, parallel: 1 }),
  );
  bench.row({
    id: 'resources/event',
    title: 'WAL of an event',
    unit: 'bytes',
    value: event.walBytes,
    baseline: { name: 'INSERT by 1,000', value: rawEvent.walBytes },
    detail: detail(event),
    resources: event,
  });
  if (bench.path !== 'redis') return;
  bench.row({
    id: 'resources/redis-event',
    title: 'memory of Redis for an event that is not archived yet',
    unit: 'bytes',
    value: await redisBytesOfEvent(bench, bench.pick(5_000, 10_000)),
  });
}

export const resources = {
  name: 'resources',
  long: true,
  paths: ['redis', 'direct'],
  raw: ['floor', 'limits'],
  run,
};
