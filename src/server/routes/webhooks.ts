/** Deliveries of webhooks: what became of them, and sending one again. */
import { Router } from 'express';
import type { RequestHandler } from 'express';
import { listDeliveries, replayDelivery } from '../../webhooks/deliveries.ts';
import type { DeliveryRow } from '../../webhooks/deliveries.ts';
import type { RouteContext } from '../context.ts';
import { sendJson } from '../respond.ts';
import { DeliveryListQuery, DeliveryPath } from '../schemas/webhook.ts';
import { pathOf, queryOf } from './request.ts';

export function webhookRoutes(context: RouteContext): Router {
  const { pool, guard, submit } = context;

  const list: RequestHandler = async (request, response) => {
    const query = queryOf(DeliveryListQuery, request);
    const { run_id: runId, thread_id: threadId, status, limit, offset } = query;
    const rows = await guard.watch(
      listDeliveries(pool, { runId, threadId, status }, { limit, offset }),
    );
    sendJson(response, rows.map(deliveryView));
  };

  const replay: RequestHandler = async (request, response) => {
    const { delivery_id: deliveryId } = pathOf(DeliveryPath, request);
    const row = await guard.watch(replayDelivery(pool, deliveryId));
    submit.signals.publish('webhook', row.run_id);
    sendJson(response, deliveryView(row));
  };

  const router = Router();
  router.get('/webhooks/deliveries', list);
  router.post('/webhooks/deliveries/:delivery_id/replay', replay);
  return router;
}

function deliveryView({ next_attempt_at: nextAttemptAt, ...row }: DeliveryRow): object {
  return { ...row, next_attempt_at: row.status === 'pending' ? nextAttemptAt : null };
}
