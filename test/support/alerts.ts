/**
 * A deployment that a real Prometheus scrapes (prometheus.ts), for the tests that bring alerts about and end them as
 * docs/runbook.md says: what they wait for, and the runbook's own statements.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../../src/lib/free-port.ts';
import { startCluster } from './cluster.ts';
import type { Cluster, ClusterOptions } from './cluster.ts';
import type { Plan } from './fault-project/probe.ts';
import { startPrometheus } from './prometheus.ts';
import type { Prometheus } from './prometheus.ts';
import { waitUntil } from './wait-until.ts';

export const WAIT_MS = 100_000;
/** A run that is there until it is cancelled or the file ends. */
export const LONG: Plan = { steps: 2_000, events: 2, eventMs: 100 };
export const SHORT: Plan = { steps: 1, events: 3 };

export interface Alerts {
  /** One server, and the workers that were started here. Each has eight slots. */
  readonly cluster: Cluster;
  readonly prometheus: Prometheus;
  /** Starts workers, by themselves or in place of lost ones, and waits until all processes are scraped. */
  startWorkers(...names: string[]): Promise<void>;
  begin(plan: Plan, more?: Record<string, unknown>): Promise<{ threadId: string; runId: string }>;
  /** All that `begin` has begun, and waits until no run is under way. */
  cancelAll(): Promise<void>;
  /** Waits until each has fired, at any moment from now on. */
  fire(...alerts: string[]): Promise<void>;
  /** Waits until none of them fires. */
  end(...alerts: string[]): Promise<void>;
  stop(): Promise<void>;
}

export async function startAlerts(
  binary: string,
  workers: readonly string[],
  options: ClusterOptions = {},
): Promise<Alerts> {
  const env = { N_JOBS_PER_WORKER: '8', ...options.env };
  const cluster = await startCluster({ ...options, workers: 0, env });
  const prometheus = await startPrometheus(binary);
  const ports = new Map<string, number>();
  /** Runs that were begun and may go on. */
  const begun = new Map<string, string>();

  async function startWorkers(...names: string[]): Promise<void> {
    await Promise.all(
      names.map(async (name) => {
        const port = ports.get(name) ?? (await freePort());
        ports.set(name, port);
        await cluster.startWorker(name, { WORKER_METRICS_PORT: String(port) });
      }),
    );
    prometheus.scrape('millrace-worker', [...ports.values()]);
    const count = 1 + ports.size;
    await waitUntil(async () => (await prometheus.query('sum(up)'))['{}'] === count, {
      timeoutMs: WAIT_MS,
      what: `${count} processes to be scraped`,
    });
  }

  prometheus.scrape('millrace-server', [Number(new URL(cluster.url).port)]);
  await startWorkers(...workers);
  return {
    cluster,
    prometheus,
    startWorkers,
    async begin(plan, more = {}) {
      const threadId = await cluster.createThread();
      const runId = await cluster.createRun(threadId, plan, more);
      begun.set(runId, threadId);
      return { threadId, runId };
    },
    async cancelAll() {
      const runs = [...begun];
      begun.clear();
      await Promise.all(
        runs.map(([runId, threadId]) =>
          cluster.request('POST', `/threads/${threadId}/runs/${runId}/cancel`),
        ),
      );
      const active = `SELECT 1 FROM runs WHERE status IN ('pending', 'running')`;
      await waitUntil(async () => (await cluster.pool.query(active)).rowCount === 0, {
        timeoutMs: WAIT_MS,
        what: 'the runs to be over',
      });
    },
    async fire(...alerts) {
      const fired = new Set<string>();
      await waitUntil(
        async () => {
          for (const alert of await prometheus.firing()) fired.add(alert);
          return alerts.every((alert) => fired.has(alert));
        },
        { timeoutMs: WAIT_MS, what: `${alerts.join(' and ')} to fire` },
      );
    },
    async end(...alerts) {
      await waitUntil(
        async () => {
          const firing = await prometheus.firing();
          return !alerts.some((alert) => firing.includes(alert));
        },
        { timeoutMs: WAIT_MS, what: `${alerts.join(' and ')} to end` },
      );
    },
    async stop() {
      await prometheus.stop();
      await cluster.stop();
    },
  };
}

/** Does it again and again until it is told to stop; what it has begun is over then. */
export function keepDoing(what: () => Promise<unknown>, everyMs: number): () => Promise<void> {
  const over = new AbortController();
  const doing = (async () => {
    while (!over.signal.aborted) {
      await what();
      await pause(everyMs);
    }
  })();
  return async () => {
    over.abort();
    await doing;
  };
}

/** The first statement below an alert's heading in docs/runbook.md. */
export function runbookSql(alert: string): string {
  const text = readFileSync(new URL('../../docs/runbook.md', import.meta.url), 'utf8');
  const section = text.split(`### ${alert}\n`)[1]?.split('\n### ')[0] ?? '';
  const sql = /```sql\n([^`]+)```/.exec(section)?.[1];
  if (sql === undefined) throw new Error(`docs/runbook.md has no statement under ${alert}`);
  return sql;
}
