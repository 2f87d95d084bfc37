/** `millrace serve`: the API. With ENABLE_WORKERS=false, for small deployments, the worker lives here as well. */
import { createWorkerOf } from '../app.ts';
import { createServer } from '../server/server.ts';
import { runServices } from './run-services.ts';

export function serveCommand(options: { host?: string; port?: string }): Promise<number> {
  return runServices(
    'serve',
    (core) => [...(core.config.ENABLE_WORKERS ? [] : [createWorkerOf(core)]), createServer(core)],
    {
      ...(options.host === undefined ? {} : { HOST: options.host }),
      ...(options.port === undefined ? {} : { PORT: options.port }),
    },
  );
}
