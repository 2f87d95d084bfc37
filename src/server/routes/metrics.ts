/** What Prometheus scrapes: this process's metrics, and the deployment's backlog, looked up at each scrape. */
import { Router } from 'express';
import type { RequestHandler } from 'express';
import { countActiveRuns } from '../../runs/find.ts';
import { open } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import { PostgresUnavailableError } from '../postgres-guard.ts';
import { sendJson } from '../respond.ts';
import { MetricsQuery } from '../schemas/system.ts';
import { queryOf } from './request.ts';

export function metricsRoutes(context: RouteContext): Router {
  const { guard, metrics, pool } = context;

  /** A scrape works without Postgres; it only says nothing of the backlog then. */
  async function lookAtBacklog(): Promise<void> {
    metrics.runsActive.reset();
    try {
      const counts = await guard.watch(countActiveRuns(pool));
      for (const [status, count] of Object.entries(counts))
        metrics.runsActive.set({ status }, count);
    } catch (error) {
      if (!(error instanceof PostgresUnavailableError)) throw error;
    }
  }

  const scrape: RequestHandler = async (request, response) => {
    const { format } = queryOf(MetricsQuery, request);
    await lookAtBacklog();
    const { registry } = metrics;
    if (format === 'json') {
      sendJson(response, await registry.getMetricsAsJSON());
      return;
    }
    response.setHeader('content-type', registry.contentType);
    response.end(await registry.metrics());
  };

  const router = Router();
  router.get('/metrics', open(scrape));
  return router;
}
