/** Deliveries of webhooks: what became of them, and sending one again. */
import { Router } from 'express';
import { listDeliveries, replayDelivery } from '../../webhooks/deliveries.ts';
import type { DeliveryRow } from '../../webhooks/deliveries.ts';
import { asks } from '../auth/declare.ts';
import type { AskingHandler } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import { sendJson } from '../respond.ts';
import { DeliveryListQuery, DeliveryPath } from '../schemas/webhook.ts';
import { pathOf, queryOf } from './request.ts';

export function webhookRoutes(context: RouteContext): Router {
  const { pool, guard, submit } = context;

  const list: AskingHandler = async (request, response, access) => {
    const query = queryOf(DeliveryListQuery, request);
    const { run_id: runId, thread_id: threadId, status, limit, offset } = query;
    const { visible } = await access.ask('threads:read', { thread_id: threadId, run_id: runId });
    const rows = await guard.watch(
      listDeliveries(pool, { visible, runId, threadId, status }, { limit, offset }),
    );
    sendJson(response, rows.map(deliveryView));
  };

  const replay: AskingHandler = async (request, response, access) => {
    const { delivery_id: deliveryId } = pathOf(DeliveryPath, request);
    const { visible } = await access.ask('threads:update', { delivery_id: deliveryId });
    const row = await guard.watch(replayDelivery(pool, deliveryId, visible));
    submit.signals.publish('webhook', row.run_id);
    sendJson(response, deliveryView(row));
  };

  const router = Router();
  router.get('/webhooks/deliveries', asks(context, 'threads:read', list));
  router.post('/webhooks/deliveries/:delivery_id/replay', asks(context, 'threads:update', replay));
  return router;
}

function deliveryView({ next_attempt_at: nextAttemptAt, ...row }: DeliveryRow): object {
  return { ...row, next_attempt_at: row.status === 'pending' ? nextAttemptAt : null };
}
