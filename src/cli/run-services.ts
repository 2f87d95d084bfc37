/**
 * What all long-running commands share: configuration, a database (from npm when none is given), services
 * in order, and a stop that SIGTERM and SIGINT trigger. A second signal ends the process at once.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createCore } from '../app.ts';
import type { Core } from '../app.ts';
import { addToEnvironment, readConfig } from '../config.ts';
import { readLangGraphJson } from '../graphs/langgraph-json.ts';
import type { Config } from '../config.ts';
import type { Service } from '../lib/service.ts';
import { startEmbeddedPostgres } from '../postgres/embedded.ts';
import { createLog } from '../telemetry/log.ts';
import type { Log, LogOptions } from '../telemetry/log.ts';
import { startTracing } from '../telemetry/tracing.ts';
import { joinGathering } from '../telemetry/exposition.ts';
import { collectProcessMetrics } from '../telemetry/metrics.ts';
import { onStopAsked, tellReady } from './supervised.ts';

/** A stop that takes longer than the grace for runs and this is given up. */
const STOP_LIMIT_MS = 30_000;

/** Starts `services(core)` after the core; settles with the exit code when all have stopped. */
export async function runServices(
  name: string,
  services: (core: Core) => Promise<Service[]> | Service[],
  overrides: Record<string, string> = {},
): Promise<number> {
  const config = readProjectConfig(overrides);
  const log = createLog(logOptions(config, name));
  const signalled = nextSignal();
  const endTracing =
    config.OTEL_EXPORTER_OTLP_ENDPOINT === undefined
      ? undefined
      : await startTracing({
          endpoint: config.OTEL_EXPORTER_OTLP_ENDPOINT,
          service: config.OTEL_SERVICE_NAME,
          instance: `${name} ${config.WORKER_ID}`,
        });
  const database = await ensureDatabase(config, log);
  const core = await createCore(
    { ...config, DATABASE_URL: database.url },
    log,
    graphOptions(config),
  );
  collectProcessMetrics(core.metrics);
  joinGathering(core.metrics.registry);
  const started: Service[] = [core];
  try {
    await core.start();
    for (const service of await services(core)) {
      started.push(service);
      await service.start();
    }
    log.info(`millrace ${name} ready`, { worker_id: config.WORKER_ID, pid: process.pid });
    tellReady();
    const signal = await signalled;
    log.info(`${signal}: stopping`);
  } finally {
    const limit = setTimeout(() => {
      log.error('stop takes too long, giving up');
      process.exit(1);
    }, stopLimitMs(config));
    for (const service of started.reverse()) await service.stop();
    await database.stop();
    // What cannot be delivered now is not worth waiting for, nor an error.
    await endTracing?.().catch((error: unknown) => {
      log.warn('the last spans were not sent', { error });
    });
    clearTimeout(limit);
  }
  log.info(`millrace ${name} stopped`);
  return 0;
}

export const stopLimitMs = (config: Config): number =>
  config.BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS * 1_000 + STOP_LIMIT_MS;

export const logOptions = (config: Config, name: string): LogOptions => ({
  level: config.LOG_LEVEL,
  format: config.LOG_FORMAT ?? (process.stdout.isTTY ? 'text' : 'json'),
  name,
});

/** The configuration of the project in this folder: its langgraph.json may bring variables along. */
export function readProjectConfig(overrides: Record<string, string> = {}): Config {
  // eslint-disable-next-line no-restricted-syntax -- handed to config.ts, which alone looks into it
  const read = (): Config => readConfig({ ...process.env, ...overrides });
  const { file } = graphOptions(read());
  if (file !== undefined) addToEnvironment(readLangGraphJson(file).env);
  return read();
}

/**
 * A terminal and systemd tell the whole family, and then the parent tells its children: what comes together is one stop.
 * A later one ends the process without a hand-over.
 */
const SAME_STOP_MS = 1_000;

export function nextSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let firstAt: number | undefined;
    const onSignal = (signal: NodeJS.Signals): void => {
      firstAt ??= performance.now();
      if (performance.now() - firstAt > SAME_STOP_MS) process.exit(1);
      resolve(signal);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    onStopAsked(() => {
      firstAt ??= performance.now();
      resolve('SIGTERM');
    });
  });
}

/** The given database, or a real Postgres from npm in DATA_DIR, shared by the processes that use it. */
export async function ensureDatabase(
  config: Config,
  log: Log,
): Promise<{ url: string; stop(): Promise<void> }> {
  if (config.DATABASE_URL !== undefined)
    return { url: config.DATABASE_URL, stop: () => Promise.resolve() };
  const folder = join(config.DATA_DIR, 'postgres');
  log.info('DATABASE_URL is not set: using Postgres from npm', { folder });
  return startEmbeddedPostgres({ folder, settings: { max_connections: '300' } });
}

export function graphOptions(config: Config): { file?: string } {
  return existsSync(config.LANGGRAPH_CONFIG_PATH) ? { file: config.LANGGRAPH_CONFIG_PATH } : {};
}
