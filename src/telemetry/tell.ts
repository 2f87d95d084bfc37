/**
 * What happened, said once: a line in the log and a number in the metrics, under one name. The name is the field
 * `event` of the line; VOCABULARY says which metric counts it. Who adds one adds it here, so that a
 * number on a dashboard can be looked up in the log, and a line in the log found on a dashboard.
 */
import type { Log, LogLevel } from './log.ts';
import type { Metrics } from './metrics.ts';

export const VOCABULARY = {
  run_claimed: { level: 'debug', metric: 'millrace_stage_seconds' },
  run_ended: { level: 'debug', metric: 'millrace_runs_ended_total' },
  run_failed: { level: 'info', metric: 'millrace_runs_ended_total' },
  run_requeued: { level: 'warn', metric: 'millrace_runs_requeued_total' },
  run_fenced: { level: 'warn', metric: 'millrace_fenced_total' },
  reader_rewound: { level: 'warn', metric: 'millrace_rewinds_total' },
  cron_fired: { level: 'debug', metric: 'millrace_cron_ticks_total' },
  webhook_attempted: { level: 'debug', metric: 'millrace_webhook_attempts_total' },
  consumer_batch: { level: 'debug', metric: 'millrace_consumer_batches_total' },
  swept: { level: 'debug', metric: 'millrace_sweeps_total' },
  trouble: { level: 'warn', metric: 'millrace_troubles_total' },
} as const satisfies Record<string, { level: LogLevel; metric: string }>;

export type EventName = keyof typeof VOCABULARY;

/** The part of a claim that tells which run it is. */
export interface RunIds {
  readonly runId: string;
  readonly threadId: string;
}

export interface Tell {
  /** @param seconds wait: due → claimed, at the first attempt; claim: what the claim itself took */
  runClaimed(
    run: RunIds & { attempt: number },
    seconds: { wait: number | undefined; claim: number },
  ): void;
  runEnded(run: RunIds, status: string): void;
  runRequeued(reason: 'lost' | 'shutdown' | 'transient', runId: string): void;
  /** A newer term owns the thread: what this worker did since is nobody's. */
  runFenced(runId: string): void;
  readerRewound(threadId: string, to: number): void;
  cronFired(outcome: 'fired' | 'failed', cronId: string): void;
  webhookAttempted(outcome: 'delivered' | 'failed' | 'dead', deliveryId: string): void;
  consumerBatch(outcome: 'delivered' | 'failed' | 'dead', group: string): void;
  swept(outcome: 'ok' | 'failed', seconds: number): void;
  /** Something failed and the process goes on. */
  trouble(what: string, error: unknown): void;
}

export function createTell(log: Log, metrics: Metrics): Tell {
  const say = (event: EventName, context: Record<string, unknown>): void => {
    log[VOCABULARY[event].level](event.replaceAll('_', ' '), { event, ...context });
  };
  return {
    runClaimed({ runId, threadId, attempt }, { wait, claim }) {
      if (wait !== undefined) metrics.stageSeconds.observe({ stage: 'wait' }, wait);
      metrics.stageSeconds.observe({ stage: 'claim' }, claim);
      say('run_claimed', { run_id: runId, thread_id: threadId, attempt, wait_seconds: wait });
    },
    runEnded({ runId, threadId }, status) {
      metrics.runsEnded.inc({ status });
      const failed = status === 'error' || status === 'timeout';
      say(failed ? 'run_failed' : 'run_ended', { run_id: runId, thread_id: threadId, status });
    },
    runRequeued(reason, runId) {
      metrics.runsRequeued.inc({ reason });
      say('run_requeued', { run_id: runId, reason });
    },
    runFenced(runId) {
      metrics.fenced.inc();
      say('run_fenced', { run_id: runId });
    },
    readerRewound(threadId, to) {
      metrics.rewinds.inc();
      say('reader_rewound', { thread_id: threadId, to });
    },
    cronFired(outcome, cronId) {
      metrics.cronTicks.inc({ outcome });
      say('cron_fired', { cron_id: cronId, outcome });
    },
    webhookAttempted(outcome, deliveryId) {
      metrics.webhooks.inc({ outcome });
      say('webhook_attempted', { delivery_id: deliveryId, outcome });
    },
    consumerBatch(outcome, group) {
      metrics.consumerBatches.inc({ outcome });
      say('consumer_batch', { consumer_group: group, outcome });
    },
    swept(outcome, seconds) {
      metrics.sweeps.inc({ outcome });
      metrics.stageSeconds.observe({ stage: 'sweep' }, seconds);
      say('swept', { outcome, seconds });
    },
    trouble(what, error) {
      // Ids would make a series each.
      metrics.troubles.inc({ what: what.replace(/[0-9a-f-]{36}/, '').trim() });
      log.warn(`trouble: ${what}`, { event: 'trouble', what, error });
    },
  };
}
