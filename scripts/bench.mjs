/**
 * npm run bench: what Millrace does on this machine, each figure beside the raw work it is made of, in the same run,
 * and beside its target. Each row is a file of bench/cases; it checks that nothing is missing and all in order.
 *
 *   --quick          a minute or two, one round of less work
 *   --growth         only the series that must be flat (with --quick: shorter ones)
 *   --rounds N       rounds of each row, default 5 (1 with --quick); the median counts
 *   --minutes N      the whole takes no longer than about this, default 20: slow rows then take fewer rounds, and say so
 *   --only a,b       these cases (names: --list)
 *   --no-redis       the direct path only;  --no-direct: only the path with Redis
 *   --json FILE      everything as JSON
 *   --markdown a,b   the tables as Markdown: new files, or between the marks <!-- bench --> (rows) and
 *                    <!-- bench costs --> (CPU, memory, series) of README.md and docs/performance.md
 *   --from FILE      measures nothing: reports on the JSON of an earlier run
 *   --profile DIR    CPU profiles of server and worker (*.cpuprofile), of the measured work only; read them with
 *                    node scripts/bench/profile-top.mjs
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT, prepare } from './prepare.mjs';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    growth: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    minutes: { type: 'string', default: '20' },
    only: { type: 'string' },
    list: { type: 'boolean', default: false },
    'no-redis': { type: 'boolean', default: false },
    'no-direct': { type: 'boolean', default: false },
    json: { type: 'string' },
    markdown: { type: 'string' },
    from: { type: 'string' },
    profile: { type: 'string' },
  },
});
/** TARGETS.md: medians of five. */
const ROUNDS = atLeastOne('rounds', options.rounds ?? (options.quick ? '1' : '5'));
const MINUTES = atLeastOne('minutes', options.minutes);

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

if (options.from !== undefined) {
  const { report } = await import('./bench/report.mjs');
  await report(JSON.parse(readFileSync(options.from, 'utf8')), { say, paint, options });
  process.exit(0);
}
if (!(await prepare(runQuietly))) process.exit(1);
const { createStack, SLOTS } = await import('./bench/stack.mjs');
const { CASES, GROWTH } = await import('./bench/cases.mjs');
const { measure } = await import('./bench/measure.mjs');
const { describeMachine } = await import('./bench/machine.mjs');
const { report } = await import('./bench/report.mjs');
const { nowUs } = await import('./bench/clock.mjs');

if (options.list) {
  for (const { name, paths } of [...CASES, ...GROWTH])
    console.log(`${name.padEnd(18)} ${paths.join(', ')}`);
  process.exit(0);
}
const only = options.only?.split(',');
const unknown =
  only?.filter((name) => ![...CASES, ...GROWTH].some((known) => known.name === name)) ?? [];
if (unknown.length > 0) refuse(`no such case: ${unknown.join(', ')} (see --list)`);
if (options.profile !== undefined) {
  options.profile = resolve(options.profile);
  mkdirSync(options.profile, { recursive: true });
}

stack = await createStack({ onStart: (what) => say(`starting ${what}`) });

const result = { machine: undefined, rows: [], failures: [] };
try {
  await main();
} catch (error) {
  if (!interrupted) result.failures.push(`bench: ${error.stack ?? error}`);
}
await stack.stop();
if (!interrupted) {
  if (result.rows.length > 0) {
    await report(result, { say, paint, options });
  }
  for (const failure of result.failures) console.error(`\n${paint(31, 'FAILED')} ${failure}`);
  console.log(`\n${((Date.now() - startedAt) / 1000).toFixed(0)} s in all`);
  process.exit(result.failures.length > 0 ? 1 : 0);
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
  result.machine = {
    ...(await describeMachine(postgres, redis)),
    slots: SLOTS,
    rounds: ROUNDS,
    quick: options.quick,
    profiled: options.profile !== undefined,
  };
  const plans = paths
    .map((path) => ({ path, wanted: casesOf(path, paths) }))
    .filter(({ wanted }) => wanted.length > 0);
  const session = {
    ...result,
    stack,
    options,
    rounds: ROUNDS,
    deadlineUs: nowUs() + MINUTES * 60e6,
    say,
    paint,
    interrupted: () => interrupted,
    // After each case: what is measured is kept, whatever ends the bench.
    save() {
      if (options.json !== undefined)
        writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
    },
  };
  for (const [i, { path, wanted }] of plans.entries()) {
    const later = plans.slice(i + 1).reduce((sum, plan) => sum + plan.wanted.length, 0);
    await measure(session, path, wanted, postgres, redis, later);
  }
}

function casesOf(path, paths) {
  const everything = [...CASES, ...GROWTH];
  const mode = options.growth ? GROWTH : options.quick ? CASES : everything;
  return (only === undefined ? mode : everything).filter(
    (one) =>
      one.paths.includes(path) &&
      (only?.includes(one.name) ?? true) &&
      // A minute is short: what takes long is left out, and the direct path shows its own targets only.
      (!options.quick ||
        only !== undefined ||
        (!one.long && (paths.length === 1 || path === 'redis' || one.quickDirect))),
  );
}

function atLeastOne(name, text) {
  const n = Number(text);
  if (!(n >= 1) || (name === 'rounds' && !Number.isInteger(n)))
    refuse(
      `--${name}: expected a ${name === 'rounds' ? 'whole ' : ''}number from 1 on, found ${text}`,
    );
  return n;
}

function refuse(text) {
  console.error(text);
  process.exit(1);
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
