/** `millrace serve`: the API. With ENABLE_WORKERS=false, for small deployments, the worker lives here as well. */
import { createWorkerOf } from '../app.ts';
import type { Core } from '../app.ts';
import { preloadGraphs } from './preload-graphs.ts';
import type { Service } from '../lib/service.ts';
import { createServer } from '../server/server.ts';
import { processCount, runProcesses } from './processes.ts';
import { runServices } from './run-services.ts';
import { shareUi } from './shared-ui.ts';

export function serveCommand(options: {
  host?: string;
  port?: string;
  processes?: string;
}): Promise<number> {
  const overrides: Record<string, string> = {
    ...(options.host === undefined ? {} : { HOST: options.host }),
    ...(options.port === undefined ? {} : { PORT: options.port }),
  };
  const services = (core: Core): Service[] => [
    ...(core.config.ENABLE_WORKERS ? [] : [preloadGraphs(core), createWorkerOf(core)]),
    createServer(core),
  ];
  return runProcesses(
    'serve',
    processCount(options.processes),
    overrides,
    () => runServices('serve', services, overrides),
    shareUi,
  );
}
