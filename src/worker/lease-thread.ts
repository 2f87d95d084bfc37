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

/** Most runs are over before anybody could miss their documented keys: only who is there at two looks gets them. */
const FIRST_MIRROR_MS = 100;
/** The attempt string expires this long after the run was picked up. */
const ATTEMPT_TTL_SECS = 60;
/** A busy machine may take this long. */
const QUERY_LIMIT_MS_MIN = 1_000;
/** No more of a cancel string than this is looked at. */
const NOTE_LENGTH_MAX = 2_000;

const options = workerData as LeaseThreadOptions;
const pulse = new BigInt64Array(options.pulse);
const table = openLeaseTable(options.runs);
/** Run id → the term whose holder knows of its cancel. */
const told = new Map<string, number>();
/** Cancel strings that were reported: one stays until it expires. */
const noted = new Map<string, string>();
/** Runs whose heartbeat key was written here and not removed. */
const mirrored = new Set<string>();

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
    // On a connection that says nothing no lease would be renewed, while the others go on.
    queryLimitMs: Math.max(options.leaseMs / 2, QUERY_LIMIT_MS_MIN),
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
  for (const [runId, term] of told) if (held.get(runId)?.term !== term) told.delete(runId);
  for (const runId of noted.keys()) if (!held.has(runId)) noted.delete(runId);
  const stalledMs = stalledFor();
  if (held.size === 0) return;
  if (stalledMs > options.stallLimitMs) {
    trouble('leases')(new Error(`event loop stands still for ${stalledMs} ms: not renewed`));
    return;
  }
  const asked = [...held].map(([runId, { term }]) => [runId, term] as const);
  try {
    const renewed = await renewLeases(
      pool,
      asked.map(([runId, term]) => ({ runId, term })),
      options.leaseMs,
    );
    const own = new Set<string>();
    for (const { runId, cancelAction } of renewed) {
      own.add(runId);
      const term = held.get(runId)?.term;
      if (cancelAction !== null && term !== undefined && told.get(runId) !== term) {
        told.set(runId, term);
        tell({ type: 'cancel', runId, action: cancelAction });
      }
    }
    for (const [runId, term] of asked)
      if (!own.has(runId)) {
        // Its keys are another's now.
        mirrored.delete(runId);
        tell({ type: 'lost', runId, term });
      }
    // Those that ended meanwhile have lost their key, and must not get it again.
    const now = table.held();
    mirror([...own].filter((runId) => now.get(runId)?.term === held.get(runId)?.term));
  } catch (error) {
    trouble('renew leases')(error instanceof Error ? error : new Error(String(error)));
  }
}

/**
 * The documented heartbeat and attempt keys: for existing tools, nothing here reads them. And the cancel string, which is read.
 * @param attempts of the runs that are new
 */
function mirror(runIds: readonly string[], attempts?: ReadonlyMap<string, number>): void {
  if (redis?.status !== 'ready') return;
  const { heartbeatPrefix, attemptPrefix, cancelPrefix } = options.contract;
  // Not a pipeline: in a cluster each key is somewhere else.
  for (const runId of runIds) {
    mirrored.add(runId);
    redis
      .set(`${heartbeatPrefix}${runId}`, options.workerId, 'PX', options.leaseMs)
      .catch(() => undefined);
    const attempt = attempts?.get(runId);
    if (attempt !== undefined)
      redis.set(`${attemptPrefix}${runId}`, attempt, 'EX', ATTEMPT_TTL_SECS).catch(() => undefined);
    redis
      .getrange(`${cancelPrefix}${runId}`, 0, NOTE_LENGTH_MAX)
      .then((note) => {
        if (note === '' || noted.get(runId) === note) return;
        noted.set(runId, note);
        tell({ type: 'noted', runId, note });
      })
      .catch(() => undefined);
  }
}

/** Runs of the last look, and whether their keys were written then or before. */
let known = new Map<string, boolean>();
function mirrorNew(): void {
  const runs = new Map<string, boolean>();
  const attempts = new Map<string, number>();
  for (const [runId, { attempt }] of table.held()) {
    const written = known.get(runId);
    if (written === false) attempts.set(runId, attempt);
    runs.set(runId, written !== undefined);
  }
  // A run that has ended has no heartbeat.
  const over = [...mirrored].filter((runId) => !runs.has(runId));
  known = runs;
  mirror([...attempts.keys()], attempts);
  if (over.length === 0 || redis?.status !== 'ready') return;
  for (const runId of over) {
    mirrored.delete(runId);
    redis.unlink(`${options.contract.heartbeatPrefix}${runId}`).catch(() => undefined);
  }
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
