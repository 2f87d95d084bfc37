/**
 * What a deployment carries, from the JSON of a run of the bench: the tables of docs/scaling.md.
 *   npm run bench -- --json bench.json && node scripts/bench/scaling.mjs bench.json [more.json …]
 * `--markdown docs/scaling.md` writes them between its marks <!-- scaling -->; `--commits N`, `--notifies N`: what another disk
 * does a second, with 32 connections. The arithmetic is scaling-model.ts; here is what is asked of it.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { tsImport } from 'tsx/esm/api';
import { OTHERS_MAX } from './account.mjs';
import { machineText } from './machine.mjs';
import { table } from './markdown.mjs';
import { writeMarked } from './marked.mjs';
import { figure } from './table.mjs';

const { closedLoad, combined, limitOf } = await tsImport('./scaling-model.ts', import.meta.url);

const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    markdown: { type: 'string' },
    commits: { type: 'string' },
    notifies: { type: 'string' },
  },
});
if (files.length === 0) {
  console.error(
    'expected the JSON of a run of the bench, or of several (npm run bench -- --json FILE)',
  );
  process.exit(1);
}
const results = files.map((file) => JSON.parse(readFileSync(file, 'utf8')));
const { machine } = results[0];
const rows = results.flatMap((result) => result.rows);

function rowOf(id) {
  const row = rows.find((one) => one.id === id && one.path === 'redis');
  if (row === undefined) throw new Error(`no row "${id}" with Redis in ${files.join(', ')}`);
  return row;
}

/** Seconds a unit by process. `load` is the load generator: it matters on the machine of the bench only. */
function secondsOf(id) {
  const { cpu } = rowOf(id);
  if (cpu === undefined) throw new Error(`${id}: measured without CPU times`);
  return Object.fromEntries(
    Object.entries(cpu.us).map(([name, us]) => [name, us / cpu.units / 1e6]),
  );
}

/** A rate that CPU limits, had the machine been ours alone. */
const undisturbed = ({ value, others = 0 }) => value / (1 - Math.min(others, 0.95));
const commitsPerSecond = Number(options.commits ?? undisturbed(rowOf('limits/commit-32')));
const notifiesPerSecond = Number(options.notifies ?? undisturbed(rowOf('limits/notify-32')));
/** Commits that wait for the disk when nobody shares a sync with them, and NOTIFYs: each a single file of work in Postgres. */
const singleFile = ({ syncs, notifies }) => ({
  wal: Math.max(0, syncs) / commitsPerSecond,
  notify: Math.max(0, notifies) / notifiesPerSecond,
});
const run = { ...secondsOf('waits/rate'), ...singleFile(rowOf('resources/run-alone').resources) };
const pregelRun = rows.some((row) => row.id === 'waits-pregel/rate' && row.path === 'redis')
  ? {
      ...secondsOf('waits-pregel/rate'),
      ...singleFile(rowOf('resources/run-alone').resources),
    }
  : undefined;
const event = { ...secondsOf('one-run/50000'), ...singleFile(rowOf('resources/event').resources) };
const delivery = { server: secondsOf('fan-out/rate').server };

/** The queue has one hash tag, so it stays on one shard; logs are spread over all. */
function spread({ redis, load, ...others }, logs) {
  return logs ? { ...others, 'redis logs': redis } : { ...others, 'redis queue': redis };
}
const LOADS = [
  ['trivial runs, waited for', [[1, run]], 'runs/s'],
  ...(pregelRun ? [['trivial runs on our Pregel, waited for', [[1, pregelRun]], 'runs/s']] : []),
  [
    'runs of 200 events, one client each',
    [
      [1, run],
      [200, event],
    ],
    'runs/s',
  ],
  [
    'runs of 5,000 events, one client each',
    [
      [1, run],
      [5_000, event],
    ],
    'runs/s',
  ],
  [
    'events of runs with 1,000 clients each',
    [
      [1, event],
      [999, delivery],
    ],
    'events/s',
  ],
];
const DEPLOYMENTS = [
  { servers: 1, workers: 1, postgres: 2, shards: 1 },
  { servers: 1, workers: 4, postgres: 4, shards: 1 },
  { servers: 2, workers: 8, postgres: 8, shards: 1 },
  { servers: 4, workers: 16, postgres: 16, shards: 1 },
  { servers: 8, workers: 32, postgres: 32, shards: 1 },
  { servers: 8, workers: 32, postgres: 32, shards: 8 },
  { servers: 16, workers: 64, postgres: 64, shards: 8 },
];
/** A unit is what of a run, what of events: Redis is asked for both, by one thread or by several. */
function demandsOf(parts, shards) {
  const spreadParts = parts.map(([times, demands]) => [
    times,
    demands.redis === undefined
      ? demands
      : spread(demands, demands !== run && demands !== pregelRun),
  ]);
  const { 'redis queue': queue = 0, 'redis logs': logs = 0, ...others } = combined(spreadParts);
  return shards === 1
    ? { ...others, redis: queue + logs }
    : { ...others, 'redis queue': queue, 'redis logs': logs };
}
const stationsOf = ({ servers, workers, postgres, shards }) => ({
  server: servers,
  worker: workers,
  postgres,
  redis: 1,
  'redis queue': 1,
  // The shard that has the queue has a share of the logs as well: counted as one less.
  'redis logs': Math.max(1, shards - 1),
  wal: 1,
  notify: 1,
});

const printed = [];
const print = (text) => void printed.push(text);
print(`Measured ${machineText(machine)}.`);
const worst = Math.max(0, ...rows.map((row) => row.others ?? 0));
if (worst > OTHERS_MAX)
  print(
    `**The machine was not quiet** (others took up to ${Math.round(worst * 100)} % of it), which makes CPU a unit dearer, twice and more: read which station is full first, not the rates.`,
  );

print('What a unit takes, µs:');
const STATIONS = ['server', 'worker', 'redis', 'postgres', 'wal', 'notify'];
print(
  table(
    ['unit', ...STATIONS],
    [
      ['trivial run, LangGraph.js', run],
      ...(pregelRun ? [['trivial run, our Pregel', pregelRun]] : []),
      ['event', event],
      ['delivery to one client more', delivery],
    ].map(([name, demands]) => [
      name,
      ...STATIONS.map((s) => (demands[s] === undefined ? '' : figure(demands[s] * 1e6))),
    ]),
  ),
);

print('One of each, full:');
print(
  table(
    ['one', 'trivial runs/s', 'events/s', 'deliveries/s'],
    STATIONS.map((station) => [
      station,
      ...[run, event, delivery].map((d) => (d[station] > 0 ? figure(1 / d[station]) : '')),
    ]),
  ),
);

print('Deployments, each process on a core of its own, Postgres with so many:');
for (const [title, parts, unit] of LOADS) {
  print(`${title}:`);
  print(
    table(
      ['servers / workers / Postgres cores / Redis', unit, 'full first', 'next', 'at', 'busy then'],
      DEPLOYMENTS.map((deployment) => {
        const limit = limitOf(stationsOf(deployment), demandsOf(parts, deployment.shards));
        const busy = Object.entries(limit.utilisation)
          .filter(([, share]) => share >= 0.05)
          .sort((a, b) => b[1] - a[1])
          .map(([name, share]) => `${name} ${Math.round(share * 100)} %`);
        const { servers, workers, postgres, shards } = deployment;
        return [
          `${servers} / ${workers} / ${postgres} / ${shards}`,
          figure(limit.rate),
          limit.bottleneck,
          limit.next?.station ?? '',
          figure(limit.next?.rate),
          busy.join(', '),
        ];
      }),
    ),
  );
}

print(
  'Is the model right? All on the machine of the bench, load generator included, 32 users who wait:',
);
const check = (title, demands, users, id) => {
  const { load, ...own } = demands;
  const cpu = ['server', 'worker', 'redis', 'postgres'].reduce(
    (sum, name) => sum + own[name],
    load,
  );
  const stations = {
    machine: machine.cores,
    server: 1,
    worker: 1,
    redis: 1,
    postgres: machine.cores,
  };
  // The machine's cores do all of it, so the processes' own lines only bound it.
  const bound = limitOf(stations, { ...spreadNone(own), machine: cpu });
  const { rate, seconds } = closedLoad({ machine: machine.cores }, { machine: cpu }, users);
  const row = rowOf(id);
  return [
    title,
    figure(bound.rate),
    bound.bottleneck,
    `${figure(Math.min(rate, bound.rate))} (${figure(seconds * 1_000)} ms)`,
    figure(row.value),
    row.others === undefined ? '' : `${Math.round(row.others * 100)} %`,
    figure(row.value / (Math.min(rate, bound.rate) * (1 - (row.others ?? 0)))),
  ];
};
const spreadNone = ({ server, worker, redis, postgres }) => ({ server, worker, redis, postgres });
print(
  table(
    [
      'load',
      'bound',
      'full first',
      'model',
      'measured',
      'machine taken by others',
      'measured / model of what was left',
    ],
    [
      check('trivial runs/s', run, 32, 'waits/rate'),
      ...(pregelRun
        ? [check('trivial runs/s, our Pregel', pregelRun, 32, 'waits-pregel/rate')]
        : []),
      check('events/s of one run', event, 1_000, 'one-run/50000'),
    ],
  ),
);

print('What fills up:');
const resources = rowOf('resources/run').resources;
const ofEvent = rowOf('resources/event').resources;
print(
  table(
    ['', 'a trivial run', 'an event'],
    [
      ['WAL, bytes', figure(resources.walBytes), figure(ofEvent.walBytes)],
      [
        'syncs of the WAL, alone',
        figure(rowOf('resources/run-alone').resources.syncs),
        figure(ofEvent.syncs),
      ],
      ['syncs of the WAL, 32 at once', figure(resources.syncs), ''],
      ['transactions', figure(resources.transactions), figure(ofEvent.transactions)],
      ['NOTIFYs', figure(resources.notifies), figure(ofEvent.notifies)],
      ['growth of the database, bytes', figure(resources.diskBytes), figure(ofEvent.diskBytes)],
      ['memory of Redis until archived, bytes', '', figure(rowOf('resources/redis-event').value)],
      ['network of Redis, bytes', figure(resources.redisNetBytes), figure(ofEvent.redisNetBytes)],
    ],
  ),
);
const text = `${printed.join('\n\n')}\n`;
if (options.markdown === undefined) process.stdout.write(text);
else writeMarked(options.markdown, { scaling: text });
