/**
 * `--processes N`: a command in N processes on one machine, because one Node process uses one core. Those of `serve` share
 * the port (node:cluster). One that dies is started again; a signal goes to all; when this process is killed
 * they end with it, as after a crash.
 */
import cluster from 'node:cluster';
import type { Worker } from 'node:cluster';
import type { Config } from '../config.ts';
import { AppError } from '../errors.ts';
import { answerGathering } from '../telemetry/exposition.ts';
import { createLog } from '../telemetry/log.ts';
import type { Log } from '../telemetry/log.ts';
import { createDeferred } from '../lib/deferred.ts';
import { READY, STOP } from './supervised.ts';
import {
  ensureDatabase,
  logOptions,
  nextSignal,
  readProjectConfig,
  stopLimitMs,
} from './run-services.ts';

export const PROCESSES_MAX = 64;
/** Before a dead process is started again; doubled while it does not become ready. */
const RESTART_MS = { first: 500, max: 30_000 };

/** A process that does not end within its own limits is killed this much later. */
const KILL_AFTER_MS = 5_000;

export class OptionInvalidError extends AppError {
  readonly code = 'option_invalid';
}

/** @throws {OptionInvalidError} */
export function processCount(text: string | undefined): number {
  const count = Number(text ?? 1);
  if (Number.isInteger(count) && count >= 1 && count <= PROCESSES_MAX) return count;
  throw new OptionInvalidError(
    `--processes: expected a whole number from 1 to ${PROCESSES_MAX}, found ${String(text)}`,
  );
}

/** What is made once, for all processes. */
export interface Shared {
  readonly environment: Readonly<Record<string, string>>;
  /** After the last process has ended. */
  remove(): Promise<void>;
}

/**
 * Runs `one` here, or this same command line in `count` processes.
 * @param overrides variables that the command's options set
 * @param share makes what the processes have in common; not called for one. Must not reject
 * @returns the exit code: 1 when no process ever became ready
 */
export async function runProcesses(
  name: string,
  count: number,
  overrides: Readonly<Record<string, string>>,
  one: () => Promise<number>,
  share?: (config: Config, log: Log) => Promise<Shared>,
): Promise<number> {
  if (count === 1 || cluster.isWorker) return one();
  const config = readProjectConfig(overrides);
  const log = createLog(logOptions(config, name));
  const signalled = nextSignal();
  const database = await ensureDatabase(config, log);
  const shared = await share?.(config, log);
  const supervisor = supervise(log, count, (place) => ({
    ...shared?.environment,
    DATABASE_URL: database.url,
    WORKER_ID: `${config.WORKER_ID}-${place}`,
  }));
  const reason = await Promise.race([signalled, supervisor.failed]);
  log.info(`${reason}: stopping`, { processes: count });
  await supervisor.stop(stopLimitMs(config) + KILL_AFTER_MS);
  await shared?.remove();
  await database.stop();
  return supervisor.everReady() ? 0 : 1;
}

interface Supervisor {
  /** Settles when a process ended before any was ever ready: starting it again would not help. */
  readonly failed: Promise<'start failed'>;
  everReady(): boolean;
  /** Settles when the last has ended, or was killed because it did not. */
  stop(limitMs: number): Promise<void>;
}

function supervise(
  log: Log,
  count: number,
  environmentOf: (place: number) => Record<string, string>,
): Supervisor {
  const processes = new Map<number, Worker>();
  const restarts = new Set<NodeJS.Timeout>();
  const failed = createDeferred<'start failed'>();
  const empty = createDeferred();
  let everReady = false;
  let stopping = false;

  function start(place: number, waitMs: number): void {
    let nextWaitMs = Math.min(waitMs * 2, RESTART_MS.max);
    let started: Worker;
    try {
      started = cluster.fork(environmentOf(place));
    } catch (error) {
      // No memory for one more, e.g. for what was just ended for want of it.
      log.error('a process cannot be started', { place, error });
      startAgain(place, nextWaitMs);
      return;
    }
    processes.set(place, started);
    answerGathering(started);
    started.on('message', (message) => {
      if (message !== READY) return;
      everReady = true;
      nextWaitMs = RESTART_MS.first;
    });
    // Instead of an exit, when it could not be started; or a message to one that has just ended.
    started.on('error', (error) => {
      log.error('a process cannot be started or told', { place, error });
      if (started.process.pid === undefined) ended(undefined, undefined);
    });
    started.once('exit', ended);
    function ended(code: number | undefined, signal: string | undefined): void {
      processes.delete(place);
      if (stopping) {
        if (processes.size === 0) empty.resolve();
        return;
      }
      log.error('a process has ended, it is started again', { place, code, signal });
      startAgain(place, nextWaitMs);
    }
  }

  function startAgain(place: number, waitMs: number): void {
    if (!everReady) {
      failed.resolve('start failed');
      return;
    }
    const timer = setTimeout(() => {
      restarts.delete(timer);
      start(place, waitMs);
    }, waitMs);
    restarts.add(timer);
  }

  for (let place = 1; place <= count; place++) start(place, RESTART_MS.first / 2);
  return {
    failed: failed.promise,
    everReady: () => everReady,
    async stop(limitMs) {
      stopping = true;
      for (const timer of restarts) clearTimeout(timer);
      if (processes.size === 0) return;
      for (const one of processes.values()) one.send(STOP);
      const limit = setTimeout(() => {
        for (const one of processes.values()) one.process.kill('SIGKILL');
      }, limitMs);
      await empty.promise;
      clearTimeout(limit);
    },
  };
}
