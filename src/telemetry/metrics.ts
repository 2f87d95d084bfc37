/** Every metric of the system, in one place. Names follow the words of ARCHITECTURE.md; units are in the names. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

// eslint-disable-next-line @typescript-eslint/explicit-module-boundary-types -- the declarations below are the type
export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  return {
    registry,
    fenced: new Counter({
      name: 'millrace_fenced_total',
      help: 'Terms that were fenced while their worker still wrote',
      registers,
    }),
    rewinds: new Counter({
      name: 'millrace_rewinds_total',
      help: 'Readers that were told that their position was lost',
      registers,
    }),
    runsEnded: new Counter({
      name: 'millrace_runs_ended_total',
      help: 'Runs that reached a terminal status',
      labelNames: ['status'] as const,
      registers,
    }),
    runsRequeued: new Counter({
      name: 'millrace_runs_requeued_total',
      help: 'Runs taken from a lost worker or given back',
      labelNames: ['reason'] as const,
      registers,
    }),
    runsActive: new Gauge({
      name: 'millrace_runs_active',
      help: 'Runs of the whole deployment that wait for a worker or have one',
      labelNames: ['status'] as const,
      registers,
    }),
    runsRunning: new Gauge({
      name: 'millrace_runs_running',
      help: 'Runs this process executes',
      registers,
    }),
    eventsArchived: new Counter({
      name: 'millrace_events_archived_total',
      help: 'Events this process brought from Redis to Postgres',
      registers,
    }),
    archiveSeconds: new Histogram({
      name: 'millrace_archive_seconds',
      help: 'From a log being marked to its events being in Postgres',
      buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
      registers,
    }),
    sseClients: new Gauge({
      name: 'millrace_sse_clients',
      help: 'Open event streams',
      registers,
    }),
    cronTicks: new Counter({
      name: 'millrace_cron_ticks_total',
      help: 'Dates of crons that came due, by whether a run could be made',
      labelNames: ['outcome'] as const,
      registers,
    }),
    webhooks: new Counter({
      name: 'millrace_webhook_attempts_total',
      help: 'Attempts to deliver a webhook, by what became of the delivery',
      labelNames: ['outcome'] as const,
      registers,
    }),
    troubles: new Counter({
      name: 'millrace_troubles_total',
      help: 'Failures that the process survived, by what it was doing',
      labelNames: ['what'] as const,
      registers,
    }),
  };
}
export type Metrics = ReturnType<typeof createMetrics>;
