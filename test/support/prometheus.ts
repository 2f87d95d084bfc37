/**
 * A real Prometheus with the alert rules as they are shipped, in faster time: a rule's windows, its `for` and the ages that it
 * compares with are a thirtieth, and at most a minute. Rates, shares, counts and what else an expression says stay.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { freePort } from '../../src/lib/free-port.ts';
import { startProcess } from './processes.ts';
import { createTempFolder, removeTempFolder } from './reaper.ts';

const RULES = new URL('../../docker/prometheus/alerts.yml', import.meta.url);
const FASTER = 30;
const SECONDS_MAX = 60;
/** How long something has lasted; other thresholds in seconds are about how long one thing takes. */
const AGES = /(millrace_(?:queue_oldest|archive_lag|consumer_group_lag)_seconds\)) > (\d+)/g;
const UNIT_SECONDS: Record<string, number> = { s: 1, m: 60, h: 3_600 };

interface Rules {
  groups: { rules: { alert: string; expr: string; for: string }[] }[];
}
interface Alerts {
  data: { alerts: { labels: { alertname: string }; state: string }[] };
}
interface Answer {
  data: { result: { metric: Record<string, string>; value: [number, string] }[] };
}

export type Job = 'millrace-server' | 'millrace-worker';

export interface Prometheus {
  /** Names of the alerts that fire, each once, in order. */
  firing(): Promise<string[]>;
  /** Values by the series' labels, as JSON. */
  query(expression: string): Promise<Record<string, number>>;
  /** Whom it scrapes from now on, as an orchestrator would tell it. */
  scrape(job: Job, ports: readonly number[]): void;
  stop(): Promise<void>;
}

const faster = (seconds: number): number => Math.min(seconds / FASTER, SECONDS_MAX);
const duration = (text: string): string =>
  text.replaceAll(/(\d+)([smh])/g, (_, n: string, unit: string) => {
    const seconds = faster(Number(n) * (UNIT_SECONDS[unit] ?? 0));
    return `${Math.round(seconds * 1_000)}ms`;
  });

export function fasterRules(): Rules {
  const rules = parse(readFileSync(RULES, 'utf8')) as Rules;
  for (const rule of rules.groups.flatMap((group) => group.rules)) {
    rule.for = duration(rule.for);
    rule.expr = rule.expr
      .replaceAll(/\[\w+\]/g, duration)
      .replaceAll(AGES, (_, age: string, n: string) => `${age} > ${faster(Number(n))}`);
  }
  return rules;
}

export async function startPrometheus(binary: string): Promise<Prometheus> {
  const folder = createTempFolder('prometheus');
  const jobs: Job[] = ['millrace-server', 'millrace-worker'];
  const scrape = (job: Job, ports: readonly number[]): void => {
    const path = join(folder, `${job}.json`);
    writeFileSync(
      `${path}.new`,
      JSON.stringify([{ targets: ports.map((port) => `127.0.0.1:${port}`) }]),
    );
    renameSync(`${path}.new`, path);
  };
  for (const job of jobs) scrape(job, []);
  writeFileSync(join(folder, 'alerts.yml'), stringify(fasterRules()));
  writeFileSync(
    join(folder, 'prometheus.yml'),
    stringify({
      global: { scrape_interval: '2s', scrape_timeout: '2s', evaluation_interval: '500ms' },
      rule_files: ['alerts.yml'],
      scrape_configs: jobs.map((job) => ({
        job_name: job,
        file_sd_configs: [{ files: [`${job}.json`], refresh_interval: '1s' }],
      })),
    }),
  );
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const process = await startProcess(
    binary,
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { readyUrl: `${url}/-/ready` },
  );
  return {
    scrape,
    async firing() {
      const { data } = (await (await fetch(`${url}/api/v1/alerts`)).json()) as Alerts;
      const names = data.alerts.filter(({ state }) => state === 'firing');
      return [...new Set(names.map(({ labels }) => labels.alertname))].sort();
    },
    async query(expression) {
      const query = new URLSearchParams({ query: expression });
      const response = await fetch(`${url}/api/v1/query?${query.toString()}`);
      if (!response.ok) throw new Error(`${expression}: ${await response.text()}`);
      const { data } = (await response.json()) as Answer;
      return Object.fromEntries(
        data.result.map(({ metric, value }) => [JSON.stringify(metric), Number(value[1])]),
      );
    },
    async stop() {
      await process.kill();
      removeTempFolder(folder);
    },
  };
}
