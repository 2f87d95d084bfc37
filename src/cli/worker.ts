/** `millrace worker`: executes runs. With WORKER_METRICS_PORT it tells on that port how it does. */
import { createWorkerOf } from '../app.ts';
import type { Core } from '../app.ts';
import type { Service } from '../lib/service.ts';
import { createEndpoint } from '../telemetry/endpoint.ts';
import { preloadGraphs } from './preload-graphs.ts';
import { processCount, runProcesses } from './processes.ts';
import { runServices } from './run-services.ts';

/** Postgres must answer within this, or the worker is not ready. */
const CHECK_LIMIT_MS = 1_000;

export function workerCommand(options: {
  concurrency?: string;
  processes?: string;
}): Promise<number> {
  const overrides: Record<string, string> =
    options.concurrency === undefined ? {} : { N_JOBS_PER_WORKER: options.concurrency };
  return runProcesses('worker', processCount(options.processes), overrides, () =>
    runServices(
      'worker',
      (core) => [...endpointOf(core), preloadGraphs(core), createWorkerOf(core)],
      overrides,
    ),
  );
}

function endpointOf({ config, metrics, pool }: Core): Service[] {
  if (config.WORKER_METRICS_PORT === undefined) return [];
  async function check(): Promise<string[]> {
    let limit: NodeJS.Timeout | undefined;
    const answers = await Promise.race([
      pool.query('SELECT 1').then(
        () => true,
        () => false,
      ),
      new Promise<boolean>((resolve) => {
        limit = setTimeout(() => {
          resolve(false);
        }, CHECK_LIMIT_MS);
      }),
    ]);
    clearTimeout(limit);
    return answers ? [] : ['Postgres does not answer'];
  }
  return [createEndpoint({ host: config.HOST, port: config.WORKER_METRICS_PORT, metrics, check })];
}
