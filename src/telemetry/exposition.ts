/**
 * The metrics as Prometheus reads them. Of a process of `--processes` these are the sums over all of them: they share a
 * port, so a scrape reaches any, and would see counters that go back and forth.
 */
import cluster from 'node:cluster';
import type { Worker } from 'node:cluster';
import { AggregatorRegistry } from 'prom-client';
import type { Metrics } from './metrics.ts';

/**
 * How long the supervisor may take; then a process answers for itself alone, which reads as counters that were reset. So
 * no sooner than prom-client gives up on a process that does not answer (5 s), and within a scrape (10 s).
 */
const GATHER_MS_MAX = 6_000;

interface GatherMessage {
  readonly type: 'metrics';
  readonly id: number;
  /** Absent in the question. */
  readonly text?: string;
}

const waiting = new Map<number, (text: string) => void>();
let nextId = 0;
/** Made for the listener that it adds: it answers the supervisor's questions. */
let answerer: InstanceType<typeof AggregatorRegistry> | undefined;

/** `# HELP …` text: of the deployment as last looked up, then of the process or processes. */
export async function exposition({ deployment, registry }: Metrics): Promise<string> {
  const own = cluster.isWorker ? await gathered() : undefined;
  return `${await deployment.metrics()}\n${own ?? (await registry.metrics())}`;
}

/** Of the supervisor: answers its process's questions. */
export function answerGathering(from: Worker): void {
  const sums = new AggregatorRegistry();
  from.on('message', (message: unknown) => {
    if (!isGather(message)) return;
    sums
      .clusterMetrics()
      .then((text) => from.isConnected() && from.send({ type: 'metrics', id: message.id, text }))
      // A process that does not answer: the one that asked answers for itself.
      .catch(() => undefined);
  });
}

/** @returns undefined when the supervisor is late */
async function gathered(): Promise<string | undefined> {
  const id = nextId++;
  let limit: NodeJS.Timeout | undefined;
  const text = await Promise.race([
    new Promise<string>((resolve) => {
      waiting.set(id, resolve);
      process.send?.({ type: 'metrics', id } satisfies GatherMessage);
    }),
    new Promise<undefined>((resolve) => {
      limit = setTimeout(resolve, GATHER_MS_MAX, undefined);
    }),
  ]);
  clearTimeout(limit);
  waiting.delete(id);
  return text;
}

/** At the start of a process: from now on it tells its metrics when it is asked. Idempotent. */
export function joinGathering(registry: Metrics['registry']): void {
  if (answerer !== undefined || !cluster.isWorker) return;
  AggregatorRegistry.setRegistries(registry);
  answerer = new AggregatorRegistry();
  process.on('message', (message: unknown) => {
    if (isGather(message) && message.text !== undefined) waiting.get(message.id)?.(message.text);
  });
}

const isGather = (message: unknown): message is GatherMessage =>
  typeof message === 'object' &&
  message !== null &&
  'type' in message &&
  message.type === 'metrics' &&
  'id' in message;
