/**
 * Renews the leases of a worker process from a thread of its own, because a graph that keeps the event
 * loop busy is slow, not dead. If the main thread stands still for longer than its limit, it counts
 * as dead: the leases lapse and another worker goes on.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { connectCommands } from '../redis/connect.ts';
import { createPool } from '../postgres/pool.ts';
import { renewLeases } from '../runs/lease.ts';
import { openLeaseTable } from './lease-table.ts';
import { beatWorker, removeWorker } from '../runs/workers.ts';
import type { FromLeaseThread, LeaseThreadOptions, ToLeaseThread } from './lease-messages.ts';

/** Most runs are over before anybody could miss their heartbeat key: only who is there at two looks gets one. */
const FIRST_MIRROR_MS = 100;

const options = workerData as LeaseThreadOptions;
const pulse = new BigInt64Array(options.pulse);
const table = openLeaseTable(options.runs);
/** Run id → the term whose holder knows of its cancel. */
const told = new Map<string, number>();

const tell = (message: FromLeaseThread): void => parentPort?.postMessage(message);
const trouble =
  (what: string) =>
  (error: Error): void => {
    tell({ type: 'trouble', what, message: error.message });
  };

const pool = createPool(
  {
    url: options.databaseUrl,
    connectionsMax: 1,
    name: 'millrace-lease',
    prepare: options.prepare,
  },
  trouble('lease connection'),
);
const redis =
  options.redisUrl === undefined
    ? undefined
    : connectCommands({ url: options.redisUrl, name: 'millrace-lease' }, () => undefined);

const stalledFor = (): number => Date.now() - Number(Atomics.load(pulse, 0));

/** Says that this worker is there, whether it has a run or not. */
async function beat(): Promise<void> {
  if (stalledFor() > options.stallLimitMs) return;
  await beatWorker(pool, options).catch(trouble('worker beat'));
}

async function renew(): Promise<void> {
  const held = table.held();
  for (const [runId, term] of told) if (held.get(runId) !== term) told.delete(runId);
  const stalledMs = stalledFor();
  if (held.size === 0) return;
  if (stalledMs > options.stallLimitMs) {
    trouble('leases')(new Error(`event loop stands still for ${stalledMs} ms: not renewed`));
    return;
  }
  const asked = [...held];
  try {
    const renewed = await renewLeases(
      pool,
      asked.map(([runId, term]) => ({ runId, term })),
      options.leaseMs,
    );
    const own = new Set<string>();
    for (const { runId, cancelAction } of renewed) {
      own.add(runId);
      const term = held.get(runId);
      if (cancelAction !== null && term !== undefined && told.get(runId) !== term) {
        told.set(runId, term);
        tell({ type: 'cancel', runId, action: cancelAction });
      }
    }
    for (const [runId, term] of asked) if (!own.has(runId)) tell({ type: 'lost', runId, term });
    mirror([...own]);
  } catch (error) {
    trouble('renew leases')(error instanceof Error ? error : new Error(String(error)));
  }
}

/** The documented heartbeat keys: a mirror for existing tools, nothing here reads them. */
function mirror(runIds: readonly string[]): void {
  if (redis?.status !== 'ready') return;
  // Not a pipeline: in a cluster each key is somewhere else.
  for (const runId of runIds)
    redis
      .set(`${options.heartbeatKeyPrefix}${runId}`, options.workerId, 'PX', options.leaseMs)
      .catch(() => undefined);
}

/** Runs of the last look, and those of them whose key was written then or before. */
let known = new Map<string, boolean>();
function mirrorNew(): void {
  const runs = new Map<string, boolean>();
  const due: string[] = [];
  for (const runId of table.held().keys()) {
    const mirrored = known.get(runId);
    if (mirrored === false) due.push(runId);
    runs.set(runId, mirrored !== undefined);
  }
  known = runs;
  if (due.length > 0) mirror(due);
}
const mirrorTimer = redis === undefined ? undefined : setInterval(mirrorNew, FIRST_MIRROR_MS);

let renewing = false;
let again = false;
/** One renewal at a time; what is asked meanwhile follows it. */
function renewSoon(): void {
  again = true;
  if (renewing) return;
  renewing = true;
  void (async () => {
    while (again) {
      again = false;
      await renew();
    }
    renewing = false;
  })();
}
/** Postgres away: the next beat waits for this one. */
let beating: Promise<void> | undefined;
function beatSoon(): void {
  beating ??= beat().finally(() => (beating = undefined));
}
const timer = setInterval(() => {
  renewSoon();
  beatSoon();
}, options.intervalMs);
beatSoon();

parentPort?.on('message', (message: ToLeaseThread) => {
  switch (message.type) {
    case 'renew':
      renewSoon();
      return;
    case 'stop':
      clearInterval(timer);
      clearInterval(mirrorTimer);
      redis?.disconnect();
      void (beating ?? Promise.resolve())
        .then(() => removeWorker(pool, options.workerId))
        .catch(() => undefined)
        .then(() => pool.end())
        .finally(() => parentPort?.close());
  }
});

tell({ type: 'ready' });
