/**
 * What a trivial run asks of the stores. Statements: calls in pg_stat_statements, which counts BEGIN and COMMIT too.
 * Round trips: commands that MONITOR shows as sent by a client (what a script calls is none); INFO commandstats
 * has the same with what scripts call. What an idle system does in the same time is taken off both.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { nowUs, sinceMs } from '../clock.mjs';
import { scriptNames } from '../script-names.mjs';

const RUNS = 100;

/** Planning and execution time are counted only here: counting them costs. */
async function trackPlanning(stack, value) {
  const { admin } = stack.postgres;
  await admin.query(`ALTER SYSTEM SET pg_stat_statements.track_planning = ${value}`);
  await admin.query('SELECT pg_reload_conf()');
  await delay(200);
}

/** @returns query → [calls, ms of planning, ms of execution] */
async function statements(stack, database) {
  const { rows } = await stack.postgres.admin.query(
    `SELECT query, calls::int AS calls, total_plan_time AS plan, total_exec_time AS exec
     FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = $1`,
    [database],
  );
  return new Map(rows.map(({ query, calls, plan, exec }) => [query, [calls, plan, exec]]));
}

async function commandCalls(redis) {
  const info = await redis.info('commandstats');
  return [...info.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)]
    .filter(([, name]) => !/^(info|monitor|ping)/.test(name))
    .reduce((sum, [, , calls]) => sum + Number(calls), 0);
}

/** What the stores were asked while `work` ran. @returns queries and sent: name → figures */
async function asked(bench, names, database, work) {
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
      const key = name === 'evalsha' ? `script ${names.get(first) ?? first}` : name;
      sent.set(key, [(sent.get(key)?.[0] ?? 0) + 1]);
    });
  }
  const before = await statements(stack, database);
  const callsBefore = monitor ? await commandCalls(stack.redis.commands) : 0;
  const startUs = nowUs();
  await work();
  // The hints that follow an end.
  await delay(300);
  const ms = sinceMs(startUs);
  const after = await statements(stack, database);
  const calls = monitor ? (await commandCalls(stack.redis.commands)) - callsBefore : 0;
  monitor?.disconnect();
  connection?.disconnect();
  sent.delete('info');
  const queries = new Map(
    [...after].map(([query, figures]) => [
      query,
      figures.map((figure, i) => figure - (before.get(query)?.[i] ?? 0)),
    ]),
  );
  return { ms, queries, sent, calls };
}

/** Figures a run, with the idle system's share of the time taken off; the first is the count. */
function perRun(busy, idle, share) {
  return [...busy]
    .map(([name, figures]) => [
      name,
      figures.map((n, i) => Math.max(0, n - (idle.get(name)?.[i] ?? 0) * share) / RUNS),
    ])
    .filter(([, [n]]) => n >= 0.05)
    .sort((a, b) => b[1][0] - a[1][0]);
}

const sum = (list, i = 0) => list.reduce((all, [, figures]) => all + figures[i], 0);

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
  const names = await scriptNames();
  await wait();
  const floorRuns = () => bench.raw.floor.ask({ kind: 'runs', count: RUNS, parallel: 1 });
  await floorRuns();
  await trackPlanning(bench.stack, 'on');
  // The raw processes idle beside, so the idle system is that of both.
  const { name } = bench.stack;
  const idle = await asked(bench, names, name, () => delay(bench.pick(1_000, 3_000)));
  const busy = await asked(bench, names, name, wait);
  const floorBusy = await asked(bench, names, bench.rawName, floorRuns);
  await trackPlanning(bench.stack, 'off');
  const share = busy.ms / idle.ms;
  const floorShare = floorBusy.ms / idle.ms;
  const queries = perRun(busy.queries, idle.queries, share);
  bench.row({
    id: 'trips/statements',
    title: 'Postgres statements of a create + wait of a trivial run',
    unit: '',
    value: sum(queries),
    baseline: {
      name: 'the floor',
      value: sum(perRun(floorBusy.queries, new Map(), 0)),
    },
    note: `planning ${sum(queries, 1).toFixed(2)} ms, execution ${sum(queries, 2).toFixed(2)} ms a run`,
    detail: queries.map(([query, [n, plan, exec]]) => [
      `${plan.toFixed(2)} + ${exec.toFixed(2)} ms  ${query.replace(/\s+/g, ' ').slice(0, 100)}`,
      n,
    ]),
  });
  if (bench.path !== 'redis') return;
  const sent = perRun(busy.sent, idle.sent, share);
  bench.row({
    id: 'trips/redis',
    title: 'Redis round trips of a create + wait of a trivial run',
    unit: '',
    value: sum(sent),
    baseline: { name: 'the floor', value: sum(perRun(floorBusy.sent, idle.sent, floorShare)) },
    detail: sent.map(([name, [n]]) => [name, n]),
    note: `${((busy.calls - idle.calls * share) / RUNS).toFixed(1)} commands with those inside scripts`,
  });
}

export const trips = { name: 'trips', paths: ['redis', 'direct'], raw: ['floor'], run };
