/**
 * The dependency direction, once. Each folder lists the folders it may import; everything else is
 * an error. Read ARCHITECTURE.md, "Layers", for the reasons.
 */
const BASE = ['lib/', 'errors[.]ts', 'ids[.]ts'];
const MAY_IMPORT = {
  lib: BASE,
  telemetry: BASE,
  pregel: BASE, // pure: no Redis, no Postgres, no HTTP, no telemetry
  redis: [...BASE, 'telemetry/'],
  postgres: [...BASE, 'telemetry/', 'pregel/checkpoint[.]ts'],
  events: [...BASE, 'telemetry/', 'redis/', 'postgres/'],
  queue: [...BASE, 'telemetry/', 'redis/', 'postgres/'],
  bus: [...BASE, 'telemetry/', 'redis/', 'postgres/'],
  workflow: [...BASE, 'telemetry/', 'pregel/', 'bus/'],
  maintenance: [...BASE, 'telemetry/', 'redis/', 'postgres/', 'events/', 'queue/'],
  worker: [
    ...BASE,
    'telemetry/',
    'redis/',
    'postgres/',
    'pregel/',
    'events/',
    'queue/',
    'bus/',
    'workflow/',
  ],
  server: [...BASE, 'telemetry/', 'redis/', 'postgres/', 'pregel/', 'events/', 'queue/', 'bus/'],
};
// A driver is imported where its connections are made, and nowhere else.
const DRIVERS = {
  pg: 'postgres',
  'pg-listen': 'postgres',
  ioredis: 'redis',
  bullmq: 'queue',
  express: 'server',
  winston: 'telemetry',
  'prom-client': 'telemetry',
};

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-test-in-src', severity: 'error', from: { path: '^src/' }, to: { path: '^test/' } },
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
