/** `millrace worker`: executes runs. */
import { createWorkerOf } from '../app.ts';
import { preloadGraphs } from './preload-graphs.ts';
import { processCount, runProcesses } from './processes.ts';
import { runServices } from './run-services.ts';

export function workerCommand(options: {
  concurrency?: string;
  processes?: string;
}): Promise<number> {
  const overrides: Record<string, string> =
    options.concurrency === undefined ? {} : { N_JOBS_PER_WORKER: options.concurrency };
  return runProcesses('worker', processCount(options.processes), overrides, () =>
    runServices('worker', (core) => [preloadGraphs(core), createWorkerOf(core)], overrides),
  );
}
