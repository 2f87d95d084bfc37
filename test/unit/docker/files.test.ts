/** Image, compose and Kubernetes: the files parse, hold together, and name only what there is. */
import { existsSync, readFileSync } from 'node:fs';
import { readConfig } from '../../../src/config.ts';
import {
  imageCommand,
  imageEnvironment,
  readCompose,
  readDockerfile,
  readKubernetes,
} from '../../support/deploy-files.ts';
import type { Resource } from '../../support/deploy-files.ts';

const root = (path: string): URL => new URL(`../../../${path}`, import.meta.url);
const config = readFileSync(root('src/config.ts'), 'utf8');
const isSetting = (name: string): boolean => new RegExp(`^  ${name}: `, 'm').test(config);
/** Of the image, not of Millrace. */
const OTHERS = new Set(['HEALTH_URL']);
const SECRETS = { POSTGRES_PASSWORD: 'p', OPS_PASSWORD: 'eight-or-more', GRAFANA_PASSWORD: 'g' };

describe('Dockerfile', () => {
  const instructions = readDockerfile();
  const last = (keyword: string): string =>
    instructions.findLast((instruction) => instruction.keyword === keyword)?.text ?? '';

  test('runs as somebody, without a shell in between', () => {
    expect(last('USER')).toBe('node');
    const { entrypoint, command } = imageCommand();
    expect(entrypoint[0]).toBe('node');
    expect(command).toEqual(['serve']);
    expect(last('HEALTHCHECK')).toContain('healthcheck.mjs');
  });

  test('what is copied is there, and let through by .dockerignore', () => {
    const ignore = readFileSync(root('.dockerignore'), 'utf8').split('\n');
    for (const { keyword, text } of instructions) {
      // Absolute: from another stage.
      if (keyword !== 'COPY' || text.startsWith('/')) continue;
      for (const source of text.split(/\s+/).slice(0, -1)) {
        expect({ source, there: existsSync(root(source)) }).toEqual({ source, there: true });
        expect(ignore).toContain(`!${source}`);
      }
    }
  });

  test('its settings are settings', () => {
    for (const name of Object.keys(imageEnvironment()))
      expect({ name, known: isSetting(name) || OTHERS.has(name) }).toEqual({ name, known: true });
  });
});

describe('compose', () => {
  const { services, volumes } = readCompose(SECRETS);

  test.each(['migrate', 'server', 'worker'])('%s gets settings that Millrace takes', (name) => {
    const environment = services[name]?.environment ?? {};
    for (const setting of Object.keys(environment))
      expect({ setting, known: isSetting(setting) || OTHERS.has(setting) }).toEqual({
        setting,
        known: true,
      });
    const { ENABLE_WORKERS, development } = readConfig({ ...imageEnvironment(), ...environment });
    expect({ ENABLE_WORKERS, development }).toEqual({ ENABLE_WORKERS: true, development: false });
  });

  test('Redis evicts nothing and has an append-only file', () => {
    const command = services['redis']?.command?.join(' ');
    expect(command).toContain('--maxmemory-policy noeviction');
    expect(command).toContain('--appendonly yes');
  });

  test('services, volumes and files that are named exist', () => {
    for (const service of Object.values(services)) {
      for (const other of Array.isArray(service.depends_on)
        ? service.depends_on
        : Object.keys(service.depends_on ?? {}))
        expect(Object.keys(services)).toContain(other);
      for (const volume of service.volumes ?? []) {
        const [from = ''] = volume.split(':');
        if (from.startsWith('.')) expect(existsSync(root(`docker/${from}`))).toBe(true);
        else expect(Object.keys(volumes)).toContain(from);
      }
    }
  });

  test('a worker has more time to stop than its runs', () => {
    const worker = services['worker'];
    expect(Number.parseInt(worker?.stop_grace_period ?? '0')).toBeGreaterThan(
      Number(worker?.environment?.['BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS']),
    );
  });
});

interface Container {
  name: string;
  image: string;
  args: string[];
  env?: { name: string }[];
  envFrom: { configMapRef?: { name: string }; secretRef?: { name: string } }[];
  ports?: { name: string; containerPort: number }[];
  securityContext: Record<string, unknown>;
  resources: { requests: object; limits: object };
  [probe: string]: unknown;
}
interface PodSpec {
  terminationGracePeriodSeconds?: number;
  securityContext: { runAsNonRoot: boolean };
  containers: Container[];
}
interface Workload {
  selector?: { matchLabels: Record<string, string> };
  template: { metadata: { labels: Record<string, string> }; spec: PodSpec };
}

describe('Kubernetes', () => {
  const all = readKubernetes();
  const of = (kind: string): Resource[] => all.filter((resource) => resource.kind === kind);
  const named = (kind: string, name: string): Resource | undefined =>
    of(kind).find(({ metadata }) => metadata.name === name);
  const workloads = [...of('Deployment'), ...of('Job')].map(
    ({ metadata, spec }): [string, Workload] => [metadata.name, spec as Workload],
  );

  const VERSIONS: Record<string, string> = {
    ConfigMap: 'v1',
    Deployment: 'apps/v1',
    HorizontalPodAutoscaler: 'autoscaling/v2',
    Job: 'batch/v1',
    Kustomization: 'kustomize.config.k8s.io/v1beta1',
    Namespace: 'v1',
    PodDisruptionBudget: 'policy/v1',
    ScaledObject: 'keda.sh/v1alpha1',
    Secret: 'v1',
    Service: 'v1',
  };

  test('kinds are of their versions; the kustomization names the files', () => {
    for (const { kind, apiVersion } of all)
      expect({ kind, apiVersion }).toEqual({ kind, apiVersion: VERSIONS[kind] });
    const [kustomization] = of('Kustomization');
    const files = new Set(all.map(({ file }) => file));
    for (const file of kustomization?.['resources'] as string[]) expect(files).toContain(file);
  });

  test.each(workloads)('%s: unprivileged, bounded, with what it refers to', (_name, workload) => {
    const { spec, metadata } = workload.template;
    expect(spec.securityContext.runAsNonRoot).toBe(true);
    if (workload.selector !== undefined)
      expect(metadata.labels).toMatchObject(workload.selector.matchLabels);
    for (const container of spec.containers) {
      expect(container.securityContext).toMatchObject({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
      });
      expect(Object.keys(container.resources.limits)).toContain('memory');
      expect(['serve', 'worker', 'migrate']).toContain(container.args[0]);
      for (const { configMapRef, secretRef } of container.envFrom) {
        if (configMapRef !== undefined) expect(named('ConfigMap', configMapRef.name)).toBeDefined();
        if (secretRef !== undefined) expect(named('Secret', secretRef.name)).toBeDefined();
      }
      for (const { name } of container.env ?? []) expect(isSetting(name)).toBe(true);
      const ports = (container.ports ?? []).map(({ name }) => name);
      for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
        const given = container[probe] as { httpGet: { port: string } } | undefined;
        if (given !== undefined) expect(ports).toContain(given.httpGet.port);
      }
    }
  });

  test('settings and secrets are settings that Millrace takes', () => {
    const { data } = named('ConfigMap', 'millrace') as unknown as { data: Record<string, string> };
    const { stringData } = named('Secret', 'millrace') as unknown as {
      stringData: Record<string, string>;
    };
    for (const name of Object.keys({ ...data, ...stringData }))
      expect({ name, known: isSetting(name) }).toEqual({ name, known: true });
    expect(() => readConfig({ ...imageEnvironment(), ...data, ...stringData })).not.toThrow();
  });

  test('a worker has more time to stop than its runs, and nothing else owns its number', () => {
    const { data } = named('ConfigMap', 'millrace') as unknown as { data: Record<string, string> };
    const worker = workloads.find(([name]) => name === 'millrace-worker')?.[1];
    expect(worker?.template.spec.terminationGracePeriodSeconds).toBeGreaterThan(
      Number(data['BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS']),
    );
    expect(Object.keys(worker ?? {})).not.toContain('replicas');
  });

  test('autoscalers and budgets are about what there is, and ask for what is served', () => {
    for (const { spec } of [...of('HorizontalPodAutoscaler'), ...of('ScaledObject')]) {
      const { scaleTargetRef } = spec as { scaleTargetRef: { name: string } };
      expect(named('Deployment', scaleTargetRef.name)).toBeDefined();
    }
    for (const { spec } of of('PodDisruptionBudget')) {
      const { selector } = spec as { selector: { matchLabels: Record<string, string> } };
      expect(
        workloads.some(([, { template }]) =>
          Object.entries(selector.matchLabels).every(([k, v]) => template.metadata.labels[k] === v),
        ),
      ).toBe(true);
    }
    const [keda] = of('ScaledObject');
    const { triggers } = keda?.['spec'] as {
      triggers: { metadata: { url: string; valueLocation: string } }[];
    };
    const service = of('Service')[0]?.metadata.name ?? '';
    expect(triggers[0]?.metadata).toMatchObject({
      url: `http://${service}.millrace.svc/metrics/workers`,
      valueLocation: 'workers_wanted',
    });
  });
});
