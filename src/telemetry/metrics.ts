/** Every metric of the system, in one place. Names follow the words of ARCHITECTURE.md; units are in the names. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/** From a script's millisecond to a run that waited ten minutes for a worker. */
const STAGE_BUCKETS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600,
];

// eslint-disable-next-line @typescript-eslint/explicit-module-boundary-types -- the declarations below are the type
export function createMetrics() {
  /** What this process counts, and what the whole deployment is like (looked up at each scrape). */
  const registry = new Registry();
  const deployment = new Registry();
  const registers = [registry];
  const metrics = {
    registry,
    deployment,
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
      registers: [deployment],
    }),
    stageSeconds: new Histogram({
      name: 'millrace_stage_seconds',
      help: 'What the stages of a run take: submit (POST, transaction), wait (due until claimed, first attempt), claim (statement), open (right to the log), execute (graph), end (terminal transaction); and sweep',
      labelNames: ['stage'] as const,
      buckets: STAGE_BUCKETS,
      registers,
    }),
    queueDepth: new Gauge({
      name: 'millrace_queue_depth',
      help: 'Runs of the whole deployment that wait: due (for a worker) or delayed (for their time)',
      labelNames: ['state'] as const,
      registers: [deployment],
    }),
    queueOldestSeconds: new Gauge({
      name: 'millrace_queue_oldest_seconds',
      help: 'How long the oldest run has waited for a worker; 0 when none does',
      registers: [deployment],
    }),
    queueWakeUps: new Gauge({
      name: 'millrace_queue_wake_ups',
      help: 'Wake-ups that wait in the run queue; absent when it cannot tell',
      registers: [deployment],
    }),
    workersAlive: new Gauge({
      name: 'millrace_workers_alive',
      help: 'Workers of the whole deployment that are not silent',
      registers: [deployment],
    }),
    workerSlots: new Gauge({
      name: 'millrace_worker_slots',
      help: 'Runs that all workers together can execute at once',
      registers: [deployment],
    }),
    workersWanted: new Gauge({
      name: 'millrace_workers_wanted',
      help: 'Workers that the backlog asks for: threads with a run running or due, divided by the slots of a worker',
      registers: [deployment],
    }),
    notifyUsage: new Gauge({
      name: 'millrace_notify_queue_usage',
      help: "How full Postgres' queue of notifications is, 0 to 1",
      registers: [deployment],
    }),
    archiveLagSeconds: new Gauge({
      name: 'millrace_archive_lag_seconds',
      help: 'Age of the oldest mark: how long a log with events that only Redis has waits for an archiver',
      registers: [deployment],
    }),
    eventsUnarchived: new Gauge({
      name: 'millrace_events_unarchived',
      help: 'Events that only Redis has, in the logs with the oldest marks',
      registers: [deployment],
    }),
    sweeps: new Counter({
      name: 'millrace_sweeps_total',
      help: 'Looks for what a crash left behind',
      labelNames: ['outcome'] as const,
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
    consumerBatches: new Counter({
      name: 'millrace_consumer_batches_total',
      help: 'Attempts to deliver a batch of events to a consumer group, by what became of it',
      labelNames: ['outcome'] as const,
      registers,
    }),
    consumerLagEvents: new Gauge({
      name: 'millrace_consumer_group_lag_events',
      help: 'Archived events that a consumer group was not given yet',
      labelNames: ['consumer_group'] as const,
      registers: [deployment],
    }),
    consumerLagSeconds: new Gauge({
      name: 'millrace_consumer_group_lag_seconds',
      help: 'How long the oldest of them has waited, at most twice too long; 0 when none does',
      labelNames: ['consumer_group'] as const,
      registers: [deployment],
    }),
    consumerDeadLetters: new Gauge({
      name: 'millrace_consumer_group_dead_letters',
      help: 'Events that a consumer group could not be given, until they are replayed or expire',
      labelNames: ['consumer_group'] as const,
      registers: [deployment],
    }),
    troubles: new Counter({
      name: 'millrace_troubles_total',
      help: 'Failures that the process survived, by what it was doing',
      labelNames: ['what'] as const,
      registers,
    }),
  };
  // From the start: a series that begins with its first event is, for Prometheus, no increase.
  for (const reason of ['lost', 'shutdown', 'transient']) metrics.runsRequeued.inc({ reason }, 0);
  for (const status of ['success', 'error', 'timeout', 'interrupted'])
    metrics.runsEnded.inc({ status }, 0);
  for (const outcome of ['delivered', 'failed', 'dead']) {
    metrics.webhooks.inc({ outcome }, 0);
    metrics.consumerBatches.inc({ outcome }, 0);
  }
  for (const outcome of ['ok', 'failed']) metrics.sweeps.inc({ outcome }, 0);
  for (const outcome of ['fired', 'failed']) metrics.cronTicks.inc({ outcome }, 0);
  // Of the deployment: told by who looks it up (server/routes/metrics.ts). A zero would say that nothing waits.
  for (const gauge of [
    metrics.queueOldestSeconds,
    metrics.queueWakeUps,
    metrics.workersAlive,
    metrics.workerSlots,
    metrics.workersWanted,
    metrics.notifyUsage,
    metrics.archiveLagSeconds,
    metrics.eventsUnarchived,
  ])
    gauge.remove();
  return metrics;
}
export type Metrics = ReturnType<typeof createMetrics>;

/** Memory, CPU and event loop of this process. Once a process: it watches the garbage collector. */
export function collectProcessMetrics({ registry }: Pick<Metrics, 'registry'>): void {
  collectDefaultMetrics({ register: registry });
}
