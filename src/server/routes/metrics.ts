/**
 * What Prometheus scrapes: this process's metrics, and the deployment's state, looked up at each scrape. And
 * what an autoscaler asks: how many workers the backlog wants (the formula: runs/backlog.ts).
 */
import { Router } from 'express';
import type { RequestHandler } from 'express';
import { exposition } from '../../telemetry/exposition.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { open } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import type { DeploymentState } from '../deployment.ts';
import { PostgresUnavailableError } from '../postgres-guard.ts';
import { sendJson } from '../respond.ts';
import { MetricsQuery } from '../schemas/system.ts';
import { queryOf } from './request.ts';

export function metricsRoutes({ deployment, metrics }: RouteContext): Router {
  const scrape: RequestHandler = async (request, response) => {
    const { format } = queryOf(MetricsQuery, request);
    show(metrics, await deployment.look());
    if (format === 'json') {
      const { deployment: whole, registry } = metrics;
      sendJson(response, [
        ...(await whole.getMetricsAsJSON()),
        ...(await registry.getMetricsAsJSON()),
      ]);
      return;
    }
    response.setHeader('content-type', metrics.registry.contentType);
    response.end(await exposition(metrics));
  };

  const workers: RequestHandler = async (_request, response) => {
    const { backlog, workersWanted } = await deployment.look();
    if (backlog === undefined) throw new PostgresUnavailableError('Postgres does not answer');
    sendJson(response, {
      workers_wanted: workersWanted,
      workers_alive: backlog.workers,
      worker_slots: backlog.slots,
      threads_active: backlog.threads,
      runs_due: backlog.due,
      runs_delayed: backlog.delayed,
      runs_running: backlog.running,
      oldest_due_seconds: backlog.oldestSeconds,
    });
  };

  const router = Router();
  router.get('/metrics', open(scrape));
  router.get('/metrics/workers', open(workers));
  return router;
}

/** What cannot be looked up is absent, not zero: a scrape works without Postgres and without Redis. */
function show(metrics: Metrics, state: DeploymentState): void {
  const { backlog, consumerGroups, lag, wakeUps, workersWanted } = state;
  const { runsActive, queueDepth } = metrics;
  runsActive.reset();
  queueDepth.reset();
  if (backlog !== undefined) {
    runsActive.set({ status: 'pending' }, backlog.due + backlog.delayed);
    runsActive.set({ status: 'running' }, backlog.running);
    queueDepth.set({ state: 'due' }, backlog.due);
    queueDepth.set({ state: 'delayed' }, backlog.delayed);
  }
  // A group that is gone must not stay where it was.
  for (const gauge of [
    metrics.consumerLagEvents,
    metrics.consumerLagSeconds,
    metrics.consumerDeadLetters,
  ])
    gauge.reset();
  for (const { name, events, seconds, deadLetters } of consumerGroups ?? []) {
    metrics.consumerLagEvents.set({ consumer_group: name }, events);
    metrics.consumerLagSeconds.set({ consumer_group: name }, seconds);
    metrics.consumerDeadLetters.set({ consumer_group: name }, deadLetters);
  }
  for (const [gauge, value] of [
    [metrics.queueOldestSeconds, backlog?.oldestSeconds],
    [metrics.workersAlive, backlog?.workers],
    [metrics.workerSlots, backlog?.slots],
    [metrics.workersWanted, workersWanted],
    [metrics.notifyUsage, backlog?.notifyUsage],
    [metrics.queueWakeUps, wakeUps],
    [metrics.archiveLagSeconds, lag?.seconds],
    [metrics.eventsUnarchived, lag?.events],
  ] as const)
    if (value === undefined) gauge.remove();
    else gauge.set(value);
}
