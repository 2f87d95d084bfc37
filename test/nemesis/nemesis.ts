/** The nemesis: a deployment, its users, and a seeded sequence of faults; what it finds, and its figures. */
import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { newId } from '../../src/ids.ts';
import { startCluster } from '../support/cluster.ts';
import { startPostgres } from '../support/postgres.ts';
import { createTempFolder, removeTempFolder } from '../support/reaper.ts';
import { startReceiver } from '../support/receiver.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { checkAfterwards } from './afterwards.ts';
import { inflict, prepareFaults, revive } from './faults.ts';
import type { Victim } from './faults.ts';
import { createJournal } from './journal.ts';
import type { Violation } from './journal.ts';
import { schedule } from './schedule.ts';
import type { FaultKind } from './schedule.ts';
import { startWorkload } from './workload.ts';
import type { Client } from './target.ts';
import type { Figures, Workload } from './workload.ts';

export interface NemesisOptions {
  readonly seed: number;
  /** How long faults are inflicted. */
  readonly forMs: number;
  readonly users: number;
  /** Default: all. */
  readonly kinds?: FaultKind[] | undefined;
  /** Told of each fault, and of each violation. */
  onNote?(text: string): void;
}

export interface NemesisReport {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly figures: Figures;
  /** Faults by kind. */
  readonly faults: Record<string, number>;
  /** From the end of each fault until a new run had succeeded, in ms, sorted. */
  readonly recoveriesMs: readonly number[];
  readonly requests: Client['figures'];
  readonly webhooks: number;
}

/** How often it is looked whether a worker has gone, when no faults come any more. */
const REVIVE_MS = 1_000;
const ENV = {
  WORKER_HEARTBEAT_INTERVAL: '0.5',
  WORKER_HEARTBEAT_TTL: '3',
  CANCEL_DEADLINE_SECS: '3',
  WEBHOOK_ALLOW: '*',
  WEBHOOK_RETRY_SECS: '0.5',
  WEBHOOK_MAX_ATTEMPTS: '20',
};
const SHIFTED_CLOCK = fileURLToPath(new URL('../support/shifted-clock.mjs', import.meta.url));
const ASSISTANTS = ['probe', 'counter'];

export async function playNemesis(options: NemesisOptions): Promise<NemesisReport> {
  const { seed } = options;
  const journal = createJournal();
  const folder = createTempFolder('nemesis');
  const effectsFile = join(folder, 'effects');
  const clockFile = join(folder, 'clock');
  const receiver = await startReceiver();
  const postgres = await startPostgres();
  const postgresLine = await startTcpProxy({ port: postgres.port });
  let redisLine: TcpProxy | undefined;
  const cluster = await startCluster({
    servers: 2,
    workers: 3,
    serverUrl: postgres.url,
    databaseUrl: (url) => {
      const through = new URL(url);
      through.host = `127.0.0.1:${postgresLine.port}`;
      return through.href;
    },
    redisUrl: async (url) => {
      redisLine = await startTcpProxy({ port: Number(new URL(url).port) });
      return `redis://127.0.0.1:${redisLine.port}`;
    },
    env: { ...ENV, NODE_OPTIONS: `--import=${SHIFTED_CLOCK}`, CLOCK_SHIFT_FILE: clockFile },
  });
  try {
    if (redisLine === undefined) throw new Error('the cluster has no Redis');
    const victim: Victim = { cluster, postgres, redisLine, postgresLine, clockFile };
    await prepareFaults(cluster);
    const target = {
      urls: () => cluster.servers.map(({ url }) => url),
      idempotent: true,
      headers: {},
    };
    const workload = startWorkload(target, journal, {
      seed,
      users: options.users,
      assistants: ASSISTANTS,
      webhookUrl: `${receiver.url}/hook`,
      effectsFile,
    });
    for (const assistant of ASSISTANTS)
      await workload.client.call('POST', '/runs/crons', {
        assistant_id: assistant,
        schedule: '* * * * *',
        on_run_completed: 'keep',
        input: { plan: { steps: 1, events: 3 } },
      });
    const faults: Record<string, number> = {};
    const recoveriesMs: number[] = [];
    const canaries: Promise<void>[] = [];
    const until = performance.now() + options.forMs;
    for (const fault of schedule(seed, options.kinds)) {
      await delay(fault.afterMs);
      if (performance.now() >= until || journal.violations.length > 0) break;
      await revive(victim);
      journal.note(`${fault.kind} for ${fault.forMs} ms`);
      options.onNote?.(`${fault.kind} for ${fault.forMs} ms`);
      // A date in the middle of the fault, or two when it lasts.
      await cluster.pool.query('UPDATE crons SET next_run_date = now()').catch(() => undefined);
      await inflict(victim, fault);
      journal.note(`${fault.kind} is over`);
      faults[fault.kind] = (faults[fault.kind] ?? 0) + 1;
      canaries.push(
        recovery(workload.client).then((ms) => {
          if (ms !== undefined) recoveriesMs.push(ms);
        }),
      );
    }
    await stopUsers(workload, victim);
    await Promise.all(canaries);
    await cluster.pool.query('UPDATE crons SET enabled = false, next_run_date = NULL');
    await checkAfterwards(cluster.pool, journal, { receiver, effectsFile });
    return {
      seed,
      violations: journal.violations,
      figures: workload.figures,
      faults,
      recoveriesMs: recoveriesMs.sort((a, b) => a - b),
      requests: workload.client.figures,
      webhooks: receiver.received.length,
    };
  } finally {
    await cluster.stop();
    await redisLine?.close();
    await postgresLine.close();
    await postgres.stop();
    await receiver.stop();
    removeTempFolder(folder);
  }
}

/** Their last runs may kill their processes, too. */
async function stopUsers(workload: Workload, victim: Victim): Promise<void> {
  const stopped = workload.stop().then(() => true);
  while (!(await Promise.race([stopped, delay(REVIVE_MS, false)]))) await revive(victim);
}

/** Until a new run has succeeded, in ms. */
async function recovery(client: Client): Promise<number | undefined> {
  const from = performance.now();
  const body = { assistant_id: 'probe', input: { plan: { steps: 1, events: 1 } } };
  const created = await client.call('POST', '/runs', body, { key: newId() });
  const { thread_id: threadId, run_id: runId } = (created?.body ?? {}) as Record<string, string>;
  if (runId === undefined) return undefined;
  const path = `/threads/${threadId}/runs/${runId}/join`;
  const answer = await client.call('GET', path, undefined, { limitMs: 90_000 });
  return answer?.status === 200 ? performance.now() - from : undefined;
}

/** The report as text: the first violation with the history around it, then the figures. */
export function renderReport(report: NemesisReport): string {
  const { violations, figures, faults, recoveriesMs: times, requests } = report;
  const first = violations[0];
  return [
    ...(first === undefined
      ? ['no violation']
      : [
          `${violations.length} violations (seed ${report.seed}), the first: ${first.what}`,
          '',
          ...first.history,
          '',
          `by invariant: ${counts(byInvariant(violations))}`,
          ...violations.slice(1, 20).map(({ what }) => `also: ${what}`),
        ]),
    `seed ${report.seed}: ${figures.runs} runs (${counts(figures.ends)}), ${figures.events} events, ${figures.rewinds} rewinds announced`,
    `users did: ${counts(figures.did)}`,
    `${figures.resumed} connections resumed, ${requests.requests} requests, ${requests.retries} repeated, ${report.webhooks} webhooks`,
    `${Object.values(faults).reduce((sum, n) => sum + n, 0)} faults: ${counts(faults)}`,
    `recovered after ${shares(times)}`,
  ].join('\n');
}

function byInvariant(violations: readonly Violation[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const { what } of violations) {
    const name = /\[(I\d|FIFO)\]/.exec(what)?.[1] ?? 'other';
    found[name] = (found[name] ?? 0) + 1;
  }
  return found;
}

/** `a 3, b 1`, the most frequent first. */
export const counts = (of: Readonly<Record<string, number>>): string =>
  Object.entries(of)
    .sort(([, a], [, b]) => b - a)
    .map(([name, n]) => `${name} ${n}`)
    .join(', ');

/** @param times in ms, sorted */
export function shares(times: readonly number[]): string {
  if (times.length === 0) return 'nothing measured';
  const at = (share: number): string => (times[Math.floor(times.length * share)] ?? 0).toFixed(0);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, at most ${times.at(-1)?.toFixed(0)} ms`;
}
