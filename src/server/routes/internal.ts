/**
 * What only tests and development need. Not served otherwise: one request would empty a deployment. Where there are
 * users it is for who may delete everything there is, and nowhere for a page of somebody else's: CORS lets any page
 * of a browser on this machine send it.
 */
import { Router } from 'express';
import type { z } from 'zod';
import type { Access } from '../../auth/gate.ts';
import { forbidden } from '../../auth/refusal.ts';
import { asks } from '../auth/declare.ts';
import type { AskingHandler } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import { isFromOurPages } from '../ops/access.ts';
import { sendText } from '../problem.ts';
import { sendJson } from '../respond.ts';
import { TruncateBody } from '../schemas/system.ts';
import { truncate } from '../truncate.ts';
import { bodyOf } from './request.ts';

const EVENTS = ['threads:delete', 'assistants:delete', 'store:delete'] as const;

export function internalRoutes(context: RouteContext): Router {
  const empty: AskingHandler = async (request, response, access) => {
    if (!context.config.development) {
      sendText(response, 404, '404 Not Found');
      return;
    }
    if (!isFromOurPages(request.headers)) throw forbidden();
    const parts = bodyOf(TruncateBody, request);
    await mayDeleteEverything(access, parts);
    await truncate(context, response, parts);
    sendJson(response, { ok: true });
  };

  const router = Router();
  router.post('/internal/truncate', asks(context, EVENTS, empty));
  return router;
}

/** @throws {AuthRefusedError} who sees only some rows, or whose items a handler puts somewhere of their own */
async function mayDeleteEverything(
  access: Access,
  { assistants, store }: z.output<typeof TruncateBody>,
): Promise<void> {
  const permits = [await access.ask('threads:delete', {})];
  if (assistants) permits.push(await access.ask('assistants:delete', {}));
  if (permits.some(({ visible }) => visible.metadata !== null)) throw forbidden();
  if (!store) return;
  const { value } = await access.ask('store:delete', { namespace: [], key: '' });
  if (value.namespace.length > 0) throw forbidden();
}
