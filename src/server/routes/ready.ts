/**
 * Whether runs get done: red when Postgres is away, when a run has waited for a worker for too long, or when no
 * worker lives. /health says what this server stands on; this says whether the deployment works.
 *
 * For monitoring and for gates of a deployment. As the readiness probe of a server it would take all
 * servers out of service when the workers are gone, and then nobody could read anything: /ok?check_db=1 is for that.
 */
import { Router } from 'express';
import type { RequestHandler } from 'express';
import { open } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import { sendJson } from '../respond.ts';

export function readyRoutes({ config, deployment }: RouteContext): Router {
  const ready: RequestHandler = async (_request, response) => {
    const { backlog } = await deployment.look();
    const ageMax = config.READY_QUEUE_AGE_MAX_SECS;
    const alive = backlog?.workers ?? 0;
    const oldest = backlog?.oldestSeconds ?? 0;
    const wrong = [
      backlog === undefined ? 'Postgres does not answer' : undefined,
      backlog !== undefined && alive < config.READY_WORKERS_MIN
        ? `${alive} workers are alive, expected at least ${config.READY_WORKERS_MIN} (READY_WORKERS_MIN)`
        : undefined,
      oldest > ageMax
        ? `a run has waited for ${Math.round(oldest)} s, expected at most ${ageMax} s (READY_QUEUE_AGE_MAX_SECS)`
        : undefined,
    ].filter((text) => text !== undefined);
    response.statusCode = wrong.length === 0 ? 200 : 503;
    sendJson(response, {
      status: wrong.length === 0 ? 'ready' : 'not ready',
      wrong,
      ...(backlog === undefined
        ? {}
        : { workers_alive: alive, oldest_due_seconds: oldest, runs_due: backlog.due }),
    });
  };
  const router = Router();
  router.get('/ready', open(ready));
  return router;
}
