/** The main thread's side of the lease thread: which runs are held, and who must hear that one is lost. */
import { Worker } from 'node:worker_threads';
import { createDeferred } from '../lib/deferred.ts';
import type { Service } from '../lib/service.ts';
import type { CancelAction } from '../runs/run.ts';
import { createLeaseMemory, openLeaseTable } from './lease-table.ts';
import type { FromLeaseThread, LeaseThreadOptions, ToLeaseThread } from './lease-messages.ts';

const PULSE_MS = 200;
/** A thread that fails is started again, but not in a tight loop. */
const RESPAWN_MS = 200;
/** A thread that takes longer to start is not waited for any more. */
const START_LIMIT_MS = 10_000;
/** How long the thread may take to end its connections. */
const STOP_LIMIT_MS = 2_000;

export interface LeaseHolder {
  /** Somebody else owns the run now: stop and write nothing more. */
  onLost(): void;
  onCancel(action: CancelAction): void;
}

export interface LeaseKeeper extends Service {
  /**
   * An earlier attempt at the run that is still in hand here is lost with it.
   * @returns lets go of it
   * @throws when `slots` runs are held already
   */
  hold(run: { runId: string; term: number; attempt: number }, holder: LeaseHolder): () => void;
  /** Something was said about `runId`: look at its row now rather than at the next renewal. */
  ask(runId: string): void;
}

export type LeaseKeeperOptions = Omit<LeaseThreadOptions, 'pulse' | 'runs'> & {
  /** The documented cancel string of a run that is held here says something. */
  onNote(runId: string, note: string): void;
  onTrouble(what: string, error: unknown): void;
};

export function createLeaseKeeper({
  onNote,
  onTrouble,
  ...options
}: LeaseKeeperOptions): LeaseKeeper {
  /** By run: its newest attempt, because a process may get a run again that it has lost and not left yet. */
  const holders = new Map<string, { term: number; holder: LeaseHolder; drop(): void }>();
  const runs = createLeaseMemory(options.slots);
  const table = openLeaseTable(runs);
  const pulse = new SharedArrayBuffer(8);
  const beat = (): void => void Atomics.store(new BigInt64Array(pulse), 0, BigInt(Date.now()));
  let timer: NodeJS.Timeout | undefined;
  let thread: Worker | undefined;
  const ready = createDeferred();

  const say = (message: ToLeaseThread): void => thread?.postMessage(message);

  function onMessage(message: FromLeaseThread): void {
    if (message.type === 'trouble') {
      onTrouble(message.what, new Error(message.message));
      return;
    }
    if (message.type === 'ready') {
      ready.resolve();
      return;
    }
    if (message.type === 'noted') {
      onNote(message.runId, message.note);
      return;
    }
    const held = holders.get(message.runId);
    if (message.type === 'cancel') held?.holder.onCancel(message.action);
    else if (held?.term === message.term) held.holder.onLost();
  }

  /** Without the thread every lease would lapse while the runs go on. */
  function spawnAgain(error: unknown): void {
    onTrouble('lease thread', error);
    setTimeout(() => {
      if (timer !== undefined) spawn();
    }, RESPAWN_MS);
  }

  function spawn(): void {
    const file = import.meta.url.endsWith('.ts') ? 'lease-thread.source.mjs' : 'lease-thread.js';
    let spawned: Worker;
    try {
      spawned = new Worker(new URL(file, import.meta.url), {
        workerData: { ...options, pulse, runs } satisfies LeaseThreadOptions,
        execArgv: [],
      });
    } catch (error) {
      spawnAgain(error);
      return;
    }
    thread = spawned;
    spawned.on('message', onMessage);
    spawned.once('exit', () => {
      // stop() must not wait for the end of a thread that is gone.
      if (thread === spawned) thread = undefined;
    });
    spawned.on('error', spawnAgain);
  }

  return {
    /** Settles when leases are renewed: on a busy machine the thread's start takes longer than a short lease. */
    async start() {
      if (timer !== undefined) return;
      beat();
      timer = setInterval(beat, PULSE_MS);
      spawn();
      let limit: NodeJS.Timeout | undefined;
      await Promise.race([
        ready.promise,
        new Promise((resolve) => (limit = setTimeout(resolve, START_LIMIT_MS))),
      ]);
      clearTimeout(limit);
    },
    async stop() {
      clearInterval(timer);
      timer = undefined;
      const stopping = thread;
      if (stopping === undefined) return;
      thread = undefined;
      const exited = new Promise((resolve) => stopping.once('exit', resolve));
      stopping.postMessage({ type: 'stop' } satisfies ToLeaseThread);
      const limit = setTimeout(() => void stopping.terminate(), STOP_LIMIT_MS);
      await exited;
      clearTimeout(limit);
    },
    hold(run, holder) {
      const { runId, term } = run;
      const before = holders.get(runId);
      // Two slots of one run: the older one would hide the newer from the lease thread.
      before?.drop();
      const slot = table.hold(run);
      let dropped = false;
      const held = {
        term,
        holder,
        drop() {
          if (dropped) return;
          dropped = true;
          table.drop(slot);
          if (holders.get(runId) === held) holders.delete(runId);
        },
      };
      holders.set(runId, held);
      before?.holder.onLost();
      return () => {
        held.drop();
      };
    },
    ask(runId) {
      if (holders.has(runId)) say({ type: 'renew' });
    },
  };
}
