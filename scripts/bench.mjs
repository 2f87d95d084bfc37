/**
 * npm run bench: what Millrace does on this machine, each figure beside the raw work it is made of, in the same run,
 * and beside its target. Each row is a file of bench/cases; it checks that nothing is missing and all in order.
 *
 *   --quick        about a minute, one round of less work
 *   --only a,b     these cases (names: --list)
 *   --no-redis     the direct path only;  --no-direct: only the path with Redis
 *   --json FILE    the rows as JSON
 *   --profile DIR  CPU profiles of server and worker (*.cpuprofile)
 */
import { spawn, execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT, prepare } from './prepare.mjs';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    list: { type: 'boolean', default: false },
    'no-redis': { type: 'boolean', default: false },
    'no-direct': { type: 'boolean', default: false },
    json: { type: 'string' },
    profile: { type: 'string' },
    rounds: { type: 'string' },
  },
});
/** TARGETS.md: medians of five. */
const ROUNDS = Number(options.rounds ?? (options.quick ? 1 : 5));

const color = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code, text) => (color ? `\u001b[${code}m${text}\u001b[0m` : text);
const say = (text) => console.log(`\n${paint('1;36', `── ${text}`)}`);
const startedAt = Date.now();

let interrupted = false;
let stack;
/** npm, while it installs or builds; in a group of its own. */
let setUp;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    interrupted = true;
    if (setUp !== undefined) process.kill(-setUp.pid, 'SIGTERM');
    void Promise.resolve(stack?.stop()).then(() => process.exit(130));
  });

if (!(await prepare(runQuietly))) process.exit(1);
const { createStack, SLOTS } = await import('./bench/stack.mjs');
const { CASES } = await import('./bench/cases.mjs');
const { judge } = await import('./bench/targets.mjs');
const { cpuSeconds, cpuSecondsOfFamily } = await import('./bench/processes.mjs');
const { SCHEMA } = await import('./bench/raw/log.mjs');
const { figure, printNotes, printTable } = await import('./bench/table.mjs');

if (options.list) {
  for (const { name, paths } of CASES) console.log(`${name.padEnd(14)} ${paths.join(', ')}`);
  process.exit(0);
}
const only = options.only?.split(',');
const unknown = only?.filter((name) => !CASES.some((known) => known.name === name)) ?? [];
if (unknown.length > 0) {
  console.error(`no such case: ${unknown.join(', ')} (see --list)`);
  process.exit(1);
}

stack = await createStack({ onStart: (what) => say(`starting ${what}`) });

let machine;
const rows = [];
const failures = [];
try {
  await main();
} catch (error) {
  if (!interrupted) failures.push(`bench: ${error.stack ?? error}`);
}
await stack.stop();
if (!interrupted) {
  if (rows.length > 0) report();
  for (const failure of failures) console.error(`\n${paint(31, 'FAILED')} ${failure}`);
  console.log(`\n${((Date.now() - startedAt) / 1000).toFixed(0)} s in all`);
  process.exit(failures.length > 0 ? 1 : 0);
}

async function main() {
  const postgres = await stack.startPostgres();
  const redis = options['no-redis'] ? undefined : await stack.startRedis();
  if (redis === undefined && !options['no-redis'])
    console.log('  no redis-server or valkey-server here: the direct path only');
  const paths = [
    ...(redis === undefined ? [] : ['redis']),
    ...(options['no-direct'] ? [] : ['direct']),
  ];
  machine = await describeMachine(postgres, redis);
  for (const path of paths) {
    const wanted = CASES.filter(
      (one) =>
        one.paths.includes(path) &&
        (only?.includes(one.name) ?? true) &&
        // A minute is short: the direct path shows its own targets only.
        (!options.quick ||
          only !== undefined ||
          paths.length === 1 ||
          path === 'redis' ||
          one.quickDirect),
    );
    if (wanted.length > 0) await measure(path, wanted, postgres, redis);
  }
}

async function measure(path, wanted, postgres, redis) {
  const nodeArgs = {};
  if (options.profile !== undefined) {
    const dir = resolve(options.profile);
    mkdirSync(dir, { recursive: true });
    for (const name of ['server', 'worker'])
      nodeArgs[name] = [
        '--cpu-prof',
        `--cpu-prof-dir=${dir}`,
        `--cpu-prof-name=${path}-${name}.cpuprofile`,
      ];
  }
  const millrace = await stack.startMillrace(postgres, redis, path, nodeArgs);
  const raw = await startRaw(path, wanted, postgres, redis);
  const bench = {
    path,
    quick: options.quick,
    rounds: ROUNDS,
    pick: (quick, full) => (options.quick ? quick : full),
    folder: stack.folder,
    stack: millrace,
    client: millrace.client,
    raw: raw.processes,
    rawDb: raw.db,
    cpuOf: new Map(),
    rawCpuOf: new Map(),
    /** Does `work`, and notes the CPU time it took, in µs a unit by process, for the row that names `id`. */
    cpu: (id, units, work) => accounted(bench.cpuOf, millrace.cpu, id, units, work),
    /** The same for the baseline: the raw processes and the stores. */
    cpuRaw: (id, units, work) => accounted(bench.rawCpuOf, raw.cpu, id, units, work),
    row(row) {
      const { text, met } = judge(row.id, path, row.value);
      const ratio = row.baseline === undefined ? undefined : row.value / row.baseline.value;
      const full = {
        ...row,
        path,
        ratio,
        target: text,
        met,
        cpu: bench.cpuOf.get(row.cpu),
        rawCpu: bench.rawCpuOf.get(row.cpu),
      };
      rows.push(full);
      console.log(
        `  ${row.title}: ${figure(row.value, row.unit)}` +
          (row.baseline === undefined ? '' : `, baseline ${figure(row.baseline.value, row.unit)}`) +
          (text === undefined ? '' : `, target ${text}`),
      );
    },
  };
  for (const one of wanted) {
    if (interrupted) break;
    say(`${one.name}${path === 'direct' ? ' (direct path)' : ''}`);
    const begun = Date.now();
    try {
      await one.run(bench);
    } catch (error) {
      if (interrupted) break;
      failures.push(`${one.name} (${path}): ${error.stack ?? error}`);
      console.error(`  ${paint(31, `failed: ${error.message}`)}`);
    }
    console.log(paint(2, `  ${((Date.now() - begun) / 1000).toFixed(1)} s`));
  }
  if (interrupted) return;
  await raw.stop();
  await millrace.stop();
}

/** Rounds of one row add up. */
async function accounted(notes, read, id, units, work) {
  const before = read();
  const result = await work();
  const after = read();
  if (before.load !== undefined) {
    const known = notes.get(id) ?? { units: 0, us: {} };
    const us = Object.keys(before).map((name) => [
      name,
      (known.us[name] ?? 0) + (after[name] - before[name]) * 1e6,
    ]);
    notes.set(id, { units: known.units + units, us: Object.fromEntries(us) });
  }
  return result;
}

/** The raw processes that the cases ask for, on a database of their own. */
async function startRaw(path, wanted, postgres, redis) {
  const { default: pg } = await import('pg');
  const name = `raw_${path}`;
  await postgres.admin.query(`CREATE DATABASE ${name}`);
  const url = postgres.url.replace(/\/postgres$/, `/${name}`);
  const db = new pg.Pool({ connectionString: url, max: 2 });
  db.on('error', () => undefined);
  await db.query(SCHEMA);
  const processes = {};
  await Promise.all(
    [...new Set(wanted.flatMap((one) => one.raw))].map(async (kind) => {
      processes[kind] = await stack.processes.fork(
        kind,
        join(ROOT, 'scripts/bench/raw', `${kind}.mjs`),
        { DATABASE_URL: url, REDIS_URL: path === 'redis' ? redis.url : '' },
      );
    }),
  );
  return {
    db,
    processes,
    cpu: () => ({
      raw: Object.values(processes).reduce((sum, { pid }) => sum + cpuSeconds(pid), 0),
      redis: path === 'redis' ? cpuSeconds(redis.pid) : 0,
      postgres: cpuSecondsOfFamily(postgres.pid),
      load: cpuSeconds(process.pid),
    }),
    async stop() {
      await Promise.all(Object.values(processes).map((one) => one.stop()));
      await db.end();
    },
  };
}

async function describeMachine(postgres, redis) {
  const {
    rows: [{ server_version: pgVersion }],
  } = await postgres.admin.query('SHOW server_version');
  const redisVersion =
    redis && /redis_version:(\S+)/.exec(await redis.commands.info('server'))?.[1];
  const version = (name) =>
    JSON.parse(readFileSync(join(ROOT, 'node_modules', name, 'package.json'), 'utf8')).version;
  let commit;
  try {
    commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .toString()
      .trim();
  } catch {
    // not a clone
  }
  return {
    date: new Date().toISOString(),
    commit,
    cpus: `${cpus().length} × ${cpus()[0]?.model.trim()}`,
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    system: `${type()} ${release()}`,
    loadBefore: loadavg()[0],
    node: process.versions.node,
    postgres: pgVersion,
    redis: redisVersion ?? null,
    langgraph: version('@langchain/langgraph'),
    bullmq: version('bullmq'),
    slots: SLOTS,
    rounds: ROUNDS,
    quick: options.quick,
  };
}

function report() {
  for (const path of new Set(rows.map((row) => row.path))) {
    const of = rows.filter((row) => row.path === path);
    say(
      path === 'redis'
        ? 'Postgres + Redis, one server and one worker process'
        : 'the direct path (no Redis)',
    );
    printTable(of, paint);
    console.log();
    printNotes(of, paint);
  }
  const judged = rows.filter((row) => row.met !== undefined);
  const missed = judged.filter((row) => !row.met);
  say(`${judged.length - missed.length} of ${judged.length} targets are met`);
  const gap = ({ value, id, path }) => {
    const { text } = judge(id, path, value);
    return `  ${path === 'direct' ? 'direct ' : ''}${id}: ${figure(value)}, wanted ${text}`;
  };
  for (const row of missed) console.log(gap(row));
  const m = machine;
  console.log(
    `\n${m.date}, commit ${m.commit ?? 'unknown'}; ${m.cpus}, ${m.memoryGiB} GiB, ${m.system}, load before ${m.loadBefore.toFixed(1)}; ` +
      `Node ${m.node}, PostgreSQL ${m.postgres} (fsync on), Redis ${m.redis ?? 'none'} (AOF everysec), ` +
      `LangGraph.js ${m.langgraph}, BullMQ ${m.bullmq}; ${m.slots} slots a worker, median of ${m.rounds}${m.quick ? ', quick' : ''}`,
  );
  if (options.json !== undefined) {
    writeFileSync(options.json, `${JSON.stringify({ machine, rows, failures }, null, 2)}\n`);
    console.log(`rows written to ${options.json}`);
  }
}

/** Set-up shows only what takes time. */
function runQuietly(title, command, args) {
  say(title);
  return new Promise((done) => {
    setUp = spawn(command, args, {
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
    });
    const end = (code) => {
      setUp = undefined;
      done(code);
    };
    setUp.once('error', () => end(1));
    setUp.once('exit', (code) => end(code ?? 1));
  });
}
