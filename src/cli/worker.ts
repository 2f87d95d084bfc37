/** `millrace worker`: executes runs. */
import { createWorkerOf } from '../app.ts';
import { runServices } from './run-services.ts';

export function workerCommand(options: { concurrency?: string }): Promise<number> {
  return runServices(
    'worker',
    (core) => [createWorkerOf(core)],
    options.concurrency === undefined ? {} : { N_JOBS_PER_WORKER: options.concurrency },
  );
}
