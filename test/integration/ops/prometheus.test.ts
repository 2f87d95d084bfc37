/** A real Prometheus (Debian's package) scrapes a real server and evaluates the alert rules as they are shipped. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import { freePort } from '../../../src/lib/free-port.ts';
import { createRun } from '../../../src/runs/create.ts';
import { createThread, newRun } from '../../support/app.ts';
import { describeWith } from '../../support/programs.ts';
import { startProcess } from '../../support/processes.ts';
import { startTestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

const FOLDER = fileURLToPath(new URL('../../../docker/', import.meta.url));
const PROMETHEUS = join(FOLDER, 'prometheus');

interface Rules {
  groups: { rules: { alert: string; expr: string; for: string }[] }[];
}
interface Alerts {
  data: { alerts: { labels: { alertname: string }; state: string }[] };
}
interface Answer {
  status: string;
  data: { result: unknown[] };
}

describeWith('prometheus', 'prometheus', 'Prometheus', (prometheus) => {
  const promtool = join(prometheus, '..', 'promtool');
  const check = (...args: string[]): string =>
    execFileSync(promtool, args, { cwd: PROMETHEUS, encoding: 'utf8', stdio: 'pipe' });
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-prometheus-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  test('takes the configuration and the rules', () => {
    expect(check('check', 'config', 'prometheus.yml')).toContain('SUCCESS');
  });

  test('each alert fires for what it is about, and a healthy deployment is silent', () => {
    expect(check('test', 'rules', 'alerts.test.yml')).toContain('SUCCESS');
  });

  test('scrapes a server, answers every query of the dashboard, and fires what is true', async () => {
    const app = await startTestServer({ redis: true, worker: false });
    const run = newRun(app, await createThread(app));
    await createRun(app.core.pool, run);
    await app.core.pool.query(`UPDATE runs SET eligible_at = now() - interval '10 minutes'`);
    // The rules as they are shipped, without the time that they wait.
    const rules = parse(readFileSync(join(PROMETHEUS, 'alerts.yml'), 'utf8')) as Rules;
    for (const group of rules.groups) for (const rule of group.rules) rule.for = '0s';
    writeFileSync(join(folder, 'alerts.yml'), stringify(rules));
    writeFileSync(
      join(folder, 'prometheus.yml'),
      stringify({
        global: { scrape_interval: '1s', evaluation_interval: '1s' },
        rule_files: ['alerts.yml'],
        scrape_configs: [
          {
            job_name: 'millrace-server',
            static_configs: [{ targets: [`127.0.0.1:${app.server.port}`] }],
          },
        ],
      }),
    );
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const server = await startProcess(
      prometheus,
      [
        `--config.file=${join(folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { readyUrl: `${url}/-/ready` },
    );
    try {
      const firing = async (): Promise<string[]> => {
        const { data } = (await (await fetch(`${url}/api/v1/alerts`)).json()) as Alerts;
        return data.alerts
          .filter(({ state }) => state === 'firing')
          .map(({ labels }) => labels.alertname)
          .sort();
      };
      // No worker, and a run that has waited for ten minutes: these two and no other.
      await waitUntil(
        async () => (await firing()).join() === 'MillraceNoWorkers,MillraceQueueStuck',
        { timeoutMs: 40_000, what: 'the two alerts to fire' },
      );
      const dashboard = JSON.parse(
        readFileSync(join(FOLDER, 'grafana/dashboards/millrace.json'), 'utf8'),
      ) as { panels: { targets: { expr: string }[] }[] };
      for (const { expr } of dashboard.panels.flatMap(({ targets }) => targets)) {
        const query = new URLSearchParams({ query: expr.replaceAll('$__rate_interval', '1m') });
        const answer = await fetch(`${url}/api/v1/query?${query.toString()}`);
        expect({ expr, status: answer.status }).toEqual({ expr, status: 200 });
        expect(((await answer.json()) as Answer).status).toBe('success');
      }
      // What heals it ends it.
      await app.core.pool.query(
        `INSERT INTO workers (worker_id, slots, expires_at) VALUES ('w', 2, now() + interval '1 h')`,
      );
      await app.core.pool.query(`UPDATE runs SET eligible_at = now()`);
      await waitUntil(async () => (await firing()).length === 0, {
        timeoutMs: 20_000,
        what: 'the alerts to end',
      });
    } finally {
      await server.stop();
      await app.stop();
    }
  });
});
