/** What the image runs, from the built dist/: its command, with compose's settings, its health check, its stop. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort } from '../../src/lib/free-port.ts';
import { imageCommand, imageEnvironment, readCompose } from '../support/deploy-files.ts';
import { createEmptyDatabase } from '../support/postgres.ts';
import type { TestDatabase } from '../support/postgres.ts';
import { startProcess } from '../support/processes.ts';
import type { TestProcess } from '../support/processes.ts';
import { testRedisUrl } from '../support/redis.ts';
import { waitUntil } from '../support/wait-until.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);
const { services } = readCompose({ POSTGRES_PASSWORD: 'p', OPS_PASSWORD: 'eight-or-more' });
const { entrypoint } = imageCommand();
/** The image's paths, here. */
const [node = '', ...args] = entrypoint.map((part) => part.replace('/opt/millrace/', ROOT));
const health = join(ROOT, 'docker/healthcheck.mjs');

let database: TestDatabase;
let ports: { server: number; worker: number };
const started: TestProcess[] = [];
beforeAll(async () => {
  database = await createEmptyDatabase();
  ports = { server: await freePort(), worker: await freePort() };
});
afterAll(async () => {
  for (const child of started) await child.kill();
  await database.drop();
});

const prefix = `i${randomBytes(4).toString('hex')}`;
/** Of the service, with the addresses of this test. */
const environmentOf = (service: string): Record<string, string> => ({
  ...imageEnvironment(),
  ...services[service]?.environment,
  DATABASE_URL: database.url,
  REDIS_URL: testRedisUrl(),
  KEY_PREFIX: prefix,
  HOST: '127.0.0.1',
  PORT: String(ports.server),
  WORKER_METRICS_PORT: String(ports.worker),
  LANGGRAPH_CONFIG_PATH: join(ROOT, 'test/e2e/graphs/langgraph.json'),
});

async function start(service: 'server' | 'worker'): Promise<TestProcess> {
  const url = `http://127.0.0.1:${ports[service]}/ok`;
  const child = await startProcess(node, [...args, ...(services[service]?.command ?? [])], {
    env: environmentOf(service),
    readyUrl: url,
  });
  started.push(child);
  await run(process.execPath, [health], { env: { HEALTH_URL: url } });
  return child;
}

test('migrate, serve and worker run as in compose, execute a run, and stop when told', async () => {
  const migrate = await startProcess(node, [...args, ...(services['migrate']?.command ?? [])], {
    env: environmentOf('migrate'),
  });
  expect(await migrate.waitForEnd()).toBe(0);

  const server = await start('server');
  const worker = await start('worker');
  const url = `http://127.0.0.1:${ports.server}`;
  await waitUntil(async () => (await fetch(`${url}/ready`)).ok, { timeoutMs: 20_000 });
  const answer = await fetch(`${url}/runs/wait`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ assistant_id: 'counter', input: { steps: 1, delayMs: 0, deaf: false } }),
  });
  expect(answer.status).toBe(200);

  // Production: /ops wants its password, and the worker's own metrics tell of the run.
  expect((await fetch(`${url}/ops/`)).status).toBe(401);
  const metrics = await waitUntil(
    async () => {
      const text = await (await fetch(`http://127.0.0.1:${ports.worker}/metrics`)).text();
      return /^millrace_runs_ended_total\{status="success"\} 1$/m.test(text) ? text : undefined;
    },
    { timeoutMs: 20_000, what: 'the run to be counted' },
  );
  // What a worker does not look up it does not tell: a zero would hide that Postgres is away.
  expect(metrics).not.toMatch(/^millrace_queue_oldest_seconds /m);
  expect(metrics).toContain('nodejs_eventloop_lag_p99_seconds');

  expect(await worker.stop()).toBe(0);
  expect(await server.stop()).toBe(0);
  await expect(run(process.execPath, [health], { env: { HEALTH_URL: url } })).rejects.toThrow();
});

test('what dist/ imports is installed without the development packages', () => {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<
    'dependencies' | 'optionalDependencies' | 'peerDependencies',
    Record<string, string>
  >;
  const allowed = new Set([
    ...Object.keys(manifest.dependencies),
    ...Object.keys(manifest.optionalDependencies),
    ...Object.keys(manifest.peerDependencies),
    ...builtinModules,
  ]);
  const imported = new Set<string>();
  for (const file of readdirSync(join(ROOT, 'dist'), { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.js')) continue;
    const text = readFileSync(join(ROOT, 'dist', file), 'utf8');
    for (const [, name = ''] of text.matchAll(/(?:from|import)\s*\(?\s*['"]([^'".][^'"]*)['"]/g)) {
      const parts = name.replace(/^node:/, '').split('/');
      if (!/^[@a-z]/.test(parts[0] ?? '')) continue; // in a message
      imported.add(name.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? ''));
    }
  }
  expect([...imported].filter((name) => !allowed.has(name))).toEqual([]);
});
