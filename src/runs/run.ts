/** A run's row, as every part of the system sees it. */
import { AppError } from '../errors.ts';
import type { Protocol } from '../protocol/lifecycle.ts';

export const RUN_STATUSES = [
  'pending',
  'running',
  'success',
  'error',
  'timeout',
  'interrupted',
] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];
export type TerminalStatus = Exclude<RunStatus, 'pending' | 'running'>;

export const isTerminal = (status: RunStatus): status is TerminalStatus =>
  status !== 'pending' && status !== 'running';

export const MULTITASK_STRATEGIES = ['reject', 'enqueue', 'interrupt', 'rollback'] as const;
export type MultitaskStrategy = (typeof MULTITASK_STRATEGIES)[number];

export const CANCEL_ACTIONS = ['interrupt', 'rollback'] as const;
export type CancelAction = (typeof CANCEL_ACTIONS)[number];

/** What a run executes, stored as given (HTTP.md, 3.3: kwargs). */
export interface RunKwargs {
  input: unknown;
  command: { resume?: unknown; update?: unknown; goto?: unknown } | null;
  config: {
    configurable: Record<string, unknown>;
    metadata: Record<string, unknown>;
    tags?: string[];
    recursion_limit?: number;
  };
  context: Record<string, unknown>;
  stream_mode: string[];
  interrupt_before: '*' | string[] | null;
  interrupt_after: '*' | string[] | null;
  webhook: string | null;
  feedback_keys: string[] | null;
  /** The thread was made for this run and goes with it. */
  temporary: boolean;
  subgraphs: boolean;
  resumable: boolean;
  durability: 'sync' | 'async' | 'exit' | null;
  /** Absent: events are written as stream modes. */
  protocol?: Protocol;
  /** W3C traceparent of the request, while it is traced. */
  trace?: string;
}

/**
 * Who asked for a run, as `authenticate` described them then. It may hold credentials: kept apart from kwargs, which
 * are shown, and given to the graph only.
 */
export interface RunUser {
  readonly identity: string;
  readonly permissions: readonly string[];
  readonly [field: string]: unknown;
}

/** Keys of `configurable` that only the server sets. */
export const USER_KEYS = [
  'langgraph_auth_user',
  'langgraph_auth_user_id',
  'langgraph_auth_permissions',
] as const;

/** What a graph finds in `configurable`; nothing when there is no user. */
export const userConfigurable = (
  user: RunUser | null | undefined,
): Partial<Record<(typeof USER_KEYS)[number], unknown>> =>
  user == null
    ? {}
    : {
        langgraph_auth_user: user,
        langgraph_auth_user_id: user.identity,
        langgraph_auth_permissions: user.permissions,
      };

export interface RunRow {
  run_id: string;
  thread_id: string;
  assistant_id: string;
  status: RunStatus;
  metadata: Record<string, unknown>;
  kwargs: RunKwargs;
  multitask_strategy: MultitaskStrategy;
  created_at: Date;
  updated_at: Date;
  eligible_at: Date;
  attempt: number;
  failures: number;
  first_seq: number | null;
  last_seq: number | null;
  error: { error: string; message: string } | null;
  output: unknown;
}

export const RUN_COLUMNS = `run_id, thread_id, assistant_id, status, metadata, kwargs, multitask_strategy,
  created_at, updated_at, eligible_at, attempt, failures, first_seq, last_seq, error, output`;

export class RunNotFoundError extends AppError {
  readonly code = 'run_not_found';
}

export class ThreadNotFoundError extends AppError {
  readonly code = 'thread_not_found';
}

/** The thread has an active run, and the caller asked not to wait for it. */
export class ThreadBusyError extends AppError {
  readonly code = 'thread_busy';
}

/** The thread is not any more as it was when the run was asked for. */
export class ThreadMovedOnError extends ThreadBusyError {}
