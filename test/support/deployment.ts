/** Millrace as deployed: server and worker processes of dist/, on a database and a key prefix of their own. */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../src/lib/free-port.ts';
import { createTestDatabase } from './postgres.ts';
import type { TestDatabase } from './postgres.ts';
import { startMillrace } from './processes.ts';
import type { TestProcess } from './processes.ts';
import { testRedisUrl } from './redis.ts';

const GRAPHS = fileURLToPath(new URL('../e2e/graphs/langgraph.json', import.meta.url));

export interface Deployment {
  /** Of the servers, in order. */
  readonly urls: readonly string[];
  readonly servers: readonly TestProcess[];
  readonly workers: readonly TestProcess[];
  readonly database: TestDatabase;
  readonly environment: Readonly<Record<string, string>>;
  startServer(port?: number): Promise<TestProcess>;
  startWorker(): Promise<TestProcess>;
  stop(): Promise<void>;
}

export async function startDeployment(options: {
  redis: boolean;
  servers?: number;
  workers?: number;
  environment?: Record<string, string>;
}): Promise<Deployment> {
  const database = await createTestDatabase();
  const environment: Record<string, string> = {
    DATABASE_URL: database.url,
    KEY_PREFIX: `t${randomBytes(5).toString('hex')}`,
    LANGGRAPH_CONFIG_PATH: GRAPHS,
    ENABLE_WORKERS: 'true',
    BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS: '1',
    LOG_FORMAT: 'json',
    ...(options.redis ? { REDIS_URL: testRedisUrl() } : {}),
    ...options.environment,
  };
  const all: TestProcess[] = [];
  const keep = async (started: Promise<TestProcess>): Promise<TestProcess> => {
    const one = await started;
    all.push(one);
    return one;
  };
  const startServer = async (port?: number): Promise<TestProcess> => {
    const PORT = String(port ?? (await freePort()));
    return keep(
      startMillrace(['serve'], {
        env: { ...environment, PORT },
        readyUrl: `http://127.0.0.1:${PORT}/ok`,
        readyLine: / ready/,
      }),
    );
  };
  const startWorker = (): Promise<TestProcess> =>
    keep(startMillrace(['worker'], { env: environment, readyLine: / ready/ }));
  const ports = await Promise.all(Array.from({ length: options.servers ?? 1 }, freePort));
  const [servers, workers] = await Promise.all([
    Promise.all(ports.map((port) => startServer(port))),
    Promise.all(Array.from({ length: options.workers ?? 1 }, startWorker)),
  ]);
  return {
    urls: ports.map((port) => `http://127.0.0.1:${port}`),
    servers,
    workers,
    database,
    environment,
    startServer,
    startWorker,
    async stop() {
      await Promise.all(all.map((one) => one.stop()));
      await database.drop();
    },
  };
}
