/** Every query of the dashboard and of the alerts asks for metrics and labels that are exported; every metric is looked at. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { collectProcessMetrics, createMetrics } from '../../../src/telemetry/metrics.ts';
import { VOCABULARY } from '../../../src/telemetry/tell.ts';
import { askedBy } from '../../support/promql.ts';

interface Panel {
  title: string;
  targets: { expr: string }[];
}
interface Rule {
  alert: string;
  expr: string;
  annotations: { runbook: string };
}

const read = (path: string): string =>
  readFileSync(new URL(`../../../docker/${path}`, import.meta.url), 'utf8');
const dashboard = JSON.parse(read('grafana/dashboards/millrace.json')) as { panels: Panel[] };
const rules = (
  parse(read('prometheus/alerts.yml')) as { groups: { rules: Rule[] }[] }
).groups.flatMap((group) => group.rules);
const queries: [string, string][] = [
  ...dashboard.panels.flatMap(({ title, targets }) =>
    targets.map(({ expr }): [string, string] => [title, expr]),
  ),
  ...rules.map(({ alert, expr }): [string, string] => [alert, expr]),
];

const metrics = createMetrics();
collectProcessMetrics(metrics);
/** Sample name → its labels. */
const exported = new Map<string, string[]>([['up', []]]);
const all = [metrics.registry, metrics.deployment].flatMap((one) => one.getMetricsAsArray());
for (const metric of all as unknown as {
  name: string;
  type: string;
  labelNames: string[];
}[]) {
  const names =
    metric.type === 'histogram'
      ? ['_bucket', '_sum', '_count'].map((part) => metric.name + part)
      : [metric.name];
  for (const name of names) exported.set(name, [...metric.labelNames, 'le']);
}
/** Prometheus adds these to what it scrapes. */
const ADDED = ['job', 'instance'];

test.each(queries)('%s: %s', (_title, expr) => {
  const { selectors, grouping } = askedBy(expr);
  expect(selectors.length).toBeGreaterThan(0);
  for (const { metric, labels } of selectors) {
    expect([...exported.keys()]).toContain(metric);
    for (const label of [...labels, ...grouping])
      expect([...(exported.get(metric) ?? []), ...ADDED]).toContain(label);
  }
});

test('a query for what is not exported would be found', () => {
  const { selectors, grouping } = askedBy(
    'sum by (reson) (rate(millrace_rewind_total{x="a"}[5m])) > 3',
  );
  expect(selectors).toEqual([{ metric: 'millrace_rewind_total', labels: ['x'] }]);
  expect(grouping).toEqual(['reson']);
});

test('every metric of ours is on the dashboard or has an alert', () => {
  const asked = new Set(
    queries.flatMap(([, expr]) => askedBy(expr).selectors.map(({ metric }) => metric)),
  );
  const ours = [...exported.keys()].filter(
    (name) => name.startsWith('millrace_') && !/_(sum|count)$/.test(name),
  );
  expect(ours.filter((name) => !asked.has(name))).toEqual([]);
});

test('every alert fires in its own test, and has its place in the runbook', () => {
  const tests = read('prometheus/alerts.test.yml');
  const runbook = readFileSync(new URL('../../../docs/runbook.md', import.meta.url), 'utf8');
  for (const { alert, annotations } of rules) {
    expect(tests).toContain(`alertname="${alert}"`);
    expect(annotations.runbook).toBe(`docs/runbook.md#${alert.toLowerCase()}`);
    expect(runbook).toContain(`### ${alert}\n`);
  }
});

test('what the log says has a metric of that name', () => {
  for (const { metric } of Object.values(VOCABULARY))
    expect([...exported.keys()].some((name) => name === metric || name === `${metric}_count`)).toBe(
      true,
    );
});
