/** `--processes N`: what users expect of it when one of them dies, when all are to stop, and when none can start. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../src/lib/free-port.ts';
import { createEmptyDatabase } from '../support/postgres.ts';
import type { TestDatabase } from '../support/postgres.ts';
import { signal } from '../support/process-family.ts';
import { startMillrace } from '../support/processes.ts';
import type { TestProcess } from '../support/processes.ts';
import { waitUntil } from '../support/wait-until.ts';

const UI_PROJECT = fileURLToPath(new URL('../support/ui-project/langgraph.json', import.meta.url));
const GRAPHS = fileURLToPath(new URL('./graphs/langgraph.json', import.meta.url));
const WAIT = { timeoutMs: 60_000 };

let database: TestDatabase;
let env: Record<string, string>;
let url: string;
let metricsUrl: string;
const started: TestProcess[] = [];
beforeAll(async () => {
  database = await createEmptyDatabase();
  const port = await freePort();
  const metricsPort = await freePort();
  metricsUrl = `http://127.0.0.1:${metricsPort}/metrics`;
  url = `http://127.0.0.1:${port}`;
  env = {
    DATABASE_URL: database.url,
    PORT: String(port),
    ENABLE_WORKERS: 'true',
    LANGGRAPH_CONFIG_PATH: GRAPHS,
    BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS: '0',
    WORKER_HEARTBEAT_INTERVAL: '0.5',
    WORKER_HEARTBEAT_TTL: '5',
    SWEEPER_INTERVAL: '0.3',
    LOG_FORMAT: 'json',
    WORKER_METRICS_PORT: String(metricsPort),
  };
});
afterAll(async () => {
  for (const process of started) await process.kill();
  await database.drop();
});

async function start(command: string): Promise<TestProcess> {
  const process = await startMillrace([command, '--processes', '2'], {
    env: { ...env, WORKER_ID: command },
  });
  started.push(process);
  await process.waitForOutput(/ready.*[\s\S]*ready/, 90_000);
  return process;
}

/** Of each start so far, in order. */
function readyPids(process: TestProcess): number[] {
  return [...process.output().matchAll(/^.*ready.*"pid":(\d+).*$/gm)].map(([, pid]) => Number(pid));
}

async function isAlive(pid: number): Promise<boolean> {
  return await Promise.resolve().then(() => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  });
}

async function wait(): Promise<number> {
  const answer = await fetch(`${url}/runs/wait`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', connection: 'close' },
    body: JSON.stringify({ assistant_id: 'counter', input: {} }),
  });
  await answer.text();
  return answer.status;
}

test('two processes share the port, and two execute; one that is killed is started again; SIGTERM ends all', async () => {
  const [serve, worker] = await Promise.all([start('serve'), start('worker')]);
  // Again until both have had one: which of the two takes a run is nobody's decision.
  let runs = 0;
  await waitUntil(async () => {
    expect(await Promise.all(Array.from({ length: 20 }, wait))).toEqual(Array(20).fill(200));
    runs += 20;
    const { rows } = await database.pool.query<{ worker_id: string }>(
      'SELECT DISTINCT worker_id FROM runs ORDER BY worker_id',
    );
    return rows.map((row) => row.worker_id).join() === 'worker-1,worker-2';
  }, WAIT);

  // Whichever of the two is asked: they tell the sum.
  const ended = async (): Promise<number> => {
    const text = await (await fetch(metricsUrl, { headers: { connection: 'close' } })).text();
    return Number(/^millrace_runs_ended_total\{status="success"\} (\d+)$/m.exec(text)?.[1]);
  };
  await waitUntil(async () => (await ended()) === runs, WAIT);
  for (let scrape = 0; scrape < 4; scrape++) expect(await ended()).toBe(runs);

  for (const group of [serve, worker]) {
    const [first] = readyPids(group);
    process.kill(first ?? 0, 'SIGKILL');
    await waitUntil(() => readyPids(group).length === 3, WAIT);
  }
  expect(await Promise.all(Array.from({ length: 20 }, wait))).toEqual(Array(20).fill(200));

  for (const group of [serve, worker]) {
    // As a terminal and systemd do: all of them are told at once, and the parent tells its children, too.
    for (const pid of readyPids(group).slice(1)) signal(pid, 'SIGINT');
    expect(await group.stop()).toBe(0);
    expect(group.output().match(/millrace (serve|worker) stopped/g)).toHaveLength(2);
    const alive = await Promise.all(readyPids(group).map(isAlive));
    expect(alive).toEqual([false, false, false]);
  }
}, 240_000);

test('the components of the project are built once, and each process has them, also one that is started again', async () => {
  const temporary = mkdtempSync(join(tmpdir(), 'millrace-processes-'));
  const port = await freePort();
  const built = await startMillrace(['serve', '--processes', '2'], {
    env: {
      ...env,
      LANGGRAPH_CONFIG_PATH: UI_PROJECT,
      PORT: String(port),
      TMPDIR: temporary,
    },
    readyTimeoutMs: 90_000,
    readyLine: /serve ready.*[\s\S]*serve ready/,
  });
  started.push(built);
  const ask = async (): Promise<number> => {
    const response = await fetch(`http://127.0.0.1:${port}/ui/my-agent`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', connection: 'close' },
      body: JSON.stringify({ name: 'weather' }),
    });
    await response.body?.cancel();
    return response.status;
  };
  process.kill(readyPids(built)[0] ?? 0, 'SIGKILL');
  await waitUntil(() => readyPids(built).length === 3, WAIT);
  // Turn by turn.
  for (let n = 0; n < 4; n++) expect(await ask()).toBe(200);
  expect(built.output().match(/UI bundles/g)).toHaveLength(1);
  const folders = (): string[] =>
    readdirSync(temporary).filter((name) => name.startsWith('millrace-ui-'));
  expect(folders()).toHaveLength(1);
  expect(await built.stop()).toBe(0);
  expect(folders()).toEqual([]);
  rmSync(temporary, { recursive: true });
}, 240_000);

test('processes end with the one that started them', async () => {
  const worker = await start('worker');
  process.kill(worker.pid, 'SIGKILL');
  const pids = readyPids(worker);
  expect(pids).toHaveLength(2);
  await waitUntil(async () => !(await Promise.all(pids.map(isAlive))).includes(true), WAIT);
}, 240_000);

test.each([
  [
    'a setting that is wrong',
    ['worker', '--processes', '2'],
    { N_JOBS_PER_WORKER: 'x' },
    'N_JOBS_PER_WORKER:',
  ],
  [
    'a process that cannot start',
    ['worker', '--processes', '2'],
    { DATABASE_URL: 'postgres://127.0.0.1:1/x' },
    'start failed',
  ],
  [
    'a wrong number',
    ['serve', '--processes', '0'],
    {},
    '--processes: expected a whole number from 1 to 64, found 0',
  ],
])('%s ends the command and says why', async (_, args, more, said) => {
  const process = await startMillrace(args, { env: { ...env, ...more } });
  started.push(process);
  expect(await process.waitForEnd()).toBe(1);
  expect(process.output()).toContain(said);
});
