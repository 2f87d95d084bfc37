/**
 * Millrace inside another program: the API and a worker in this process, with graphs from code.
 *
 * @example
 * const server = await createServer({ graphs: { agent } });
 * console.log(server.url);
 */
import { createCore, createWorkerOf } from './app.ts';
import type { Bus } from './bus/bus.ts';
import { ensureDatabase, graphOptions } from './cli/run-services.ts';
import { readConfig } from './config.ts';
import type { Service } from './lib/service.ts';
import { createServer as createHttpServer } from './server/server.ts';
import { createLog } from './telemetry/log.ts';

export interface ServerOptions {
  /** Compiled LangGraph.js graphs or Pregel applications, by graph id; added to those of langgraph.json. */
  readonly graphs?: Readonly<Record<string, unknown>>;
  /** Settings as in the environment (README, "Settings"); what is not given comes from there. */
  readonly settings?: Readonly<Record<string, string>>;
}

export interface RunningServer {
  readonly url: string;
  /** For agents of this program (docs/workflows.md). */
  readonly bus: Bus;
  /** Hands over what runs, closes what is open. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts Postgres from npm when no DATABASE_URL is set.
 * @throws {ConfigInvalidError | GraphInvalidError | MigrationFailedError}
 */
export async function createServer(options: ServerOptions = {}): Promise<RunningServer> {
  // eslint-disable-next-line no-restricted-syntax -- handed to config.ts, which alone looks into it
  const config = readConfig({ ...process.env, ...options.settings });
  const log = createLog({
    level: config.LOG_LEVEL,
    format: config.LOG_FORMAT ?? 'json',
    name: 'server',
  });
  const database = await ensureDatabase(config, log);
  const core = await createCore({ ...config, DATABASE_URL: database.url }, log, {
    ...graphOptions(config),
    ...(options.graphs === undefined ? {} : { graphs: options.graphs }),
  });
  const http = createHttpServer(core);
  const services: Service[] = [
    core,
    ...(config.ENABLE_WORKERS ? [] : [createWorkerOf(core)]),
    http,
  ];
  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    for (const service of services.toReversed()) await service.stop();
    await database.stop();
  }
  try {
    for (const service of services) await service.start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: `http://${config.HOST}:${http.port}`,
    bus: core.bus,
    stop: () => (stopped ??= stop()),
  };
}
