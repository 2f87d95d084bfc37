/**
 * What a trivial run asks of the stores. Statements: calls in pg_stat_statements, which counts BEGIN and COMMIT too.
 * Round trips: commands that MONITOR shows as sent by a client (what a script calls is none); INFO commandstats
 * has the same with what scripts call. What an idle system does in the same time is taken off both.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { nowUs, sinceMs } from '../clock.mjs';

const RUNS = 100;

async function statements(stack) {
  const { rows } = await stack.postgres.admin.query(
    `SELECT queryid::text AS id, query, calls::int AS calls FROM pg_stat_statements s
     JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = $1`,
    [stack.name],
  );
  return new Map(rows.map((row) => [row.id, row]));
}

async function commandCalls(redis) {
  const info = await redis.info('commandstats');
  return [...info.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)]
    .filter(([, name]) => !/^(info|monitor|ping)/.test(name))
    .reduce((sum, [, , calls]) => sum + Number(calls), 0);
}

/** What the stores were asked while `work` ran. */
async function asked(bench, work) {
  const { stack } = bench;
  const sent = new Map();
  let connection;
  let monitor;
  if (stack.path === 'redis') {
    connection = new Redis(stack.redis.url);
    monitor = await connection.monitor();
    monitor.on('monitor', (_time, [command, first], source) => {
      if (source === 'lua') return;
      const name = command.toLowerCase();
      const key = name === 'evalsha' ? `evalsha ${first.slice(0, 8)}` : name;
      sent.set(key, (sent.get(key) ?? 0) + 1);
    });
  }
  const before = await statements(stack);
  const callsBefore = monitor ? await commandCalls(stack.redis.commands) : 0;
  const startUs = nowUs();
  await work();
  // The hints that follow an end.
  await delay(300);
  const ms = sinceMs(startUs);
  const after = await statements(stack);
  const calls = monitor ? (await commandCalls(stack.redis.commands)) - callsBefore : 0;
  monitor?.disconnect();
  connection?.disconnect();
  sent.delete('info');
  const queries = new Map(
    [...after].map(([id, { query, calls: n }]) => [query, n - (before.get(id)?.calls ?? 0)]),
  );
  return { ms, queries, sent, calls };
}

/** Per run, with the idle system's share of the time taken off. */
function perRun(busy, idle, share) {
  return [...busy]
    .map(([name, n]) => [name, Math.max(0, n - (idle.get(name) ?? 0) * share) / RUNS])
    .filter(([, n]) => n >= 0.05)
    .sort((a, b) => b[1] - a[1]);
}

async function run(bench) {
  const wait = async () => {
    for (let n = 0; n < RUNS; n++) {
      const answer = await bench.client.json('POST', '/runs/wait', {
        assistant_id: 'trivial',
        input: { n },
      });
      if (answer.n !== n + 1) throw new Error(`run ${n} answered ${JSON.stringify(answer)}`);
    }
  };
  await wait();
  const idle = await asked(bench, () => delay(bench.pick(1_000, 3_000)));
  const busy = await asked(bench, wait);
  const share = busy.ms / idle.ms;
  const queries = perRun(busy.queries, idle.queries, share);
  const sum = (list) => list.reduce((all, [, n]) => all + n, 0);
  bench.row({
    id: 'trips/statements',
    title: 'Postgres statements of a create + wait of a trivial run',
    unit: '',
    value: sum(queries),
    detail: queries.map(([query, n]) => [query.replace(/\s+/g, ' ').slice(0, 110), n]),
  });
  if (bench.path !== 'redis') return;
  const sent = perRun(busy.sent, idle.sent, share);
  bench.row({
    id: 'trips/redis',
    title: 'Redis round trips of the same',
    unit: '',
    value: sum(sent),
    detail: sent,
    note: `${((busy.calls - idle.calls * share) / RUNS).toFixed(1)} commands with those inside scripts`,
  });
}

export const trips = { name: 'trips', paths: ['redis', 'direct'], raw: [], run };
