/** What only tests and development need. Not served otherwise: one request would empty a deployment. */
import { Router } from 'express';
import type { RequestHandler } from 'express';
import { signedIn } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import { sendJson } from '../respond.ts';
import { TruncateBody } from '../schemas/system.ts';
import { truncate } from '../truncate.ts';
import { bodyOf } from './request.ts';

export function internalRoutes(context: RouteContext): Router {
  const empty: RequestHandler = async (request, response, next) => {
    if (!context.config.development) {
      next();
      return;
    }
    await truncate(context, response, bodyOf(TruncateBody, request));
    sendJson(response, { ok: true });
  };

  const router = Router();
  router.post('/internal/truncate', signedIn(context, empty));
  return router;
}
