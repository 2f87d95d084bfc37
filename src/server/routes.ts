/** Every route of the API, by noun. A new noun is a file and a line here. */
import { Router } from 'express';
import type { RouteContext } from './context.ts';
import { assistantRoutes } from './routes/assistants.ts';
import { createRunRoutes } from './routes/create-runs.ts';
import { cronRoutes } from './routes/crons.ts';
import { protocolRoutes } from './routes/protocol.ts';
import { docsRoutes } from './routes/docs.ts';
import { metricsRoutes } from './routes/metrics.ts';
import { runRoutes } from './routes/runs.ts';
import { stateRoutes } from './routes/states.ts';
import { storeRoutes } from './routes/store.ts';
import { systemRoutes } from './routes/system.ts';
import { threadRoutes } from './routes/threads.ts';
import { webhookRoutes } from './routes/webhooks.ts';

/** Asked in order: those that work hardest first. */
const NOUNS = [
  createRunRoutes,
  runRoutes,
  protocolRoutes,
  threadRoutes,
  stateRoutes,
  assistantRoutes,
  storeRoutes,
  metricsRoutes,
  systemRoutes,
  webhookRoutes,
  cronRoutes,
  docsRoutes,
];

export function routes(context: RouteContext): Router {
  const router = Router();
  for (const noun of NOUNS) router.use(noun(context));
  return router;
}
