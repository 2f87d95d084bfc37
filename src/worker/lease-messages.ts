/** What the worker's main thread and its lease thread say to each other. */
import type { CancelAction } from '../runs/run.ts';

export interface LeaseThreadOptions {
  databaseUrl: string;
  /** See PoolOptions. */
  prepare: boolean;
  /** undefined: no heartbeat keys. */
  redisUrl: string | undefined;
  /** Documented keys of a run that is executed (compat/names.ts). */
  contract: { heartbeatPrefix: string; attemptPrefix: string; cancelPrefix: string };
  workerId: string;
  /** Runs at once, for who counts workers. */
  slots: number;
  intervalMs: number;
  leaseMs: number;
  stallLimitMs: number;
  /** One int64: when the main thread's event loop last turned, in ms of Date.now. */
  pulse: SharedArrayBuffer;
  /** The runs in hand: lease-table.ts. */
  runs: SharedArrayBuffer;
}

export type ToLeaseThread =
  /** Renew now: the answer also tells of cancels and losses. */
  { type: 'renew' } | { type: 'stop' };

export type FromLeaseThread =
  /** Leases are renewed from now on. */
  | { type: 'ready' }
  | { type: 'lost'; runId: string; term: number }
  | { type: 'cancel'; runId: string; action: CancelAction }
  /** Somebody has written the documented cancel string. */
  | { type: 'noted'; runId: string; note: string }
  | { type: 'trouble'; what: string; message: string };
