/**
 * Every error code the system can answer with, in one place: grep a code from a log line or an HTTP
 * body and land here. Classes live next to the code that throws them; HTTP statuses live in
 * server/problem.ts, because the same error also reaches workers and the CLI, which have no status.
 */
export const ERROR_CODES = [
  'actor_timeout',
  'address_refused',
  'agent_silent',
  'assistant_exists',
  'assistant_not_found',
  'auth_failed',
  'auth_refused',
  'body_unsupported',
  'checkpointer_missing',
  'command_refused',
  'config_invalid',
  'consumer_group_busy',
  'consumer_group_exists',
  'consumer_group_limit',
  'consumer_group_not_found',
  'cron_not_found',
  'cursor_invalid',
  'delivery_not_found',
  'document_invalid',
  'effect_unknown',
  'embedding_failed',
  'event_invalid',
  'graph_invalid',
  'graph_not_found',
  'idempotency_mismatch',
  'input_empty',
  'input_invalid',
  'label_invalid',
  'listen_failed',
  'log_fenced',
  'log_unavailable',
  'message_invalid',
  'migration_failed',
  'model_failed',
  'node_failed',
  'not_in_actor',
  'option_invalid',
  'postgres_unavailable',
  'redis_misconfigured',
  'redis_unavailable',
  'run_cancelled',
  'run_not_found',
  'run_timeout',
  'semantic_search_unavailable',
  'step_limit',
  'step_timeout',
  'storage_full',
  'term_fenced',
  'thread_busy',
  'thread_exists',
  'thread_not_found',
  'tracing_unavailable',
  'ui_unavailable',
  'update_invalid',
  'workflow_not_found',
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

/**
 * An expected failure. `message` never repeats `cause.message`: the logger prints the whole chain.
 * Anything thrown that is not an AppError is a bug and is answered with 500 `internal`.
 */
export abstract class AppError extends Error {
  abstract readonly code: ErrorCode;
  /** True when the same call may succeed later without any change by the caller. */
  readonly retryable: boolean = false;
  override get name(): string {
    return this.constructor.name;
  }
}
