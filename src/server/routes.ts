/** Every route of the API, by noun. A new noun is a file and a line here. */
import { Router } from 'express';
import type { HttpPart } from '../graphs/langgraph-json.ts';
import { assertDeclared } from './auth/declare.ts';
import type { RouteContext } from './context.ts';
import { assistantRoutes } from './routes/assistants.ts';
import { createRunRoutes } from './routes/create-runs.ts';
import { docsRoutes } from './routes/docs.ts';
import { internalRoutes } from './routes/internal.ts';
import { metricsRoutes } from './routes/metrics.ts';
import { cronRoutes } from './routes/crons.ts';
import { protocolRoutes } from './routes/protocol.ts';
import { readyRoutes } from './routes/ready.ts';
import { runRoutes } from './routes/runs.ts';
import { stateRoutes } from './routes/states.ts';
import { storeRoutes } from './routes/store.ts';
import { consumerGroupRoutes } from './routes/consumer-groups.ts';
import { systemRoutes } from './routes/system.ts';
import { uiRoutes } from './routes/ui.ts';
import { threadRoutes } from './routes/threads.ts';
import { webhookRoutes } from './routes/webhooks.ts';
import { workflowRoutes } from './routes/workflows.ts';

/** Asked in order: those that work hardest first. A part can be left out (langgraph.json, `http.disable_…`). */
const NOUNS: readonly [HttpPart, (context: RouteContext) => Router][] = [
  ['runs', createRunRoutes],
  ['runs', runRoutes],
  ['threads', protocolRoutes],
  ['threads', threadRoutes],
  ['threads', stateRoutes],
  ['assistants', assistantRoutes],
  ['store', storeRoutes],
  ['meta', metricsRoutes],
  ['meta', systemRoutes],
  ['meta', readyRoutes],
  ['meta', docsRoutes],
  ['runs', webhookRoutes],
  ['runs', consumerGroupRoutes],
  ['runs', cronRoutes],
  ['runs', workflowRoutes],
  ['ui', uiRoutes],
  ['meta', internalRoutes],
];

/** @throws {RouteUndeclaredError} */
export function routes(context: RouteContext): Router {
  const disabled = context.http?.disabled ?? [];
  const router = Router();
  for (const [part, noun] of NOUNS) {
    if (disabled.includes(part)) continue;
    const routesOfNoun = noun(context);
    assertDeclared(routesOfNoun);
    router.use(routesOfNoun);
  }
  return router;
}
