/**
 * Errors as HTTP answers. Bodies are plain text, because clients match on `HTTP 404: <body>`; only a
 * body or query that does not fit its schema is answered with JSON that names the fields.
 */
import type { ErrorRequestHandler, RequestHandler, Response } from 'express';
import { z } from 'zod';
import { AuthRefusedError } from '../auth/refusal.ts';
import { AppError } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import { isTransient, sqlState } from '../postgres/pool.ts';
import type { Log } from '../telemetry/log.ts';

/** undefined: not the client's doing, so the text stays in the log. */
const STATUS: Record<ErrorCode, number | undefined> = {
  actor_timeout: 500,
  address_refused: undefined,
  agent_silent: 504,
  assistant_exists: 409,
  assistant_not_found: 404,
  auth_failed: undefined,
  // Carries its own.
  auth_refused: undefined,
  body_unsupported: 415,
  checkpointer_missing: 500,
  command_refused: 400,
  config_invalid: undefined,
  consumer_group_busy: 503,
  consumer_group_exists: 409,
  consumer_group_limit: 422,
  consumer_group_not_found: 404,
  cron_not_found: 404,
  cursor_invalid: 410,
  delivery_not_found: 404,
  document_invalid: 400,
  effect_unknown: 500,
  embedding_failed: 502,
  event_invalid: 400,
  graph_invalid: 500,
  graph_not_found: 404,
  idempotency_mismatch: 422,
  input_empty: 400,
  input_invalid: 400,
  label_invalid: 422,
  log_fenced: undefined,
  log_unavailable: 503,
  listen_failed: undefined,
  message_invalid: 400,
  migration_failed: undefined,
  model_failed: 502,
  node_failed: 500,
  not_in_actor: 500,
  option_invalid: undefined,
  postgres_unavailable: 503,
  redis_misconfigured: undefined,
  redis_unavailable: undefined,
  run_cancelled: 409,
  run_not_found: 404,
  run_timeout: 504,
  semantic_search_unavailable: 422,
  step_limit: 500,
  step_timeout: 500,
  storage_full: 507,
  term_fenced: 409,
  thread_busy: 409,
  thread_exists: 409,
  thread_not_found: 404,
  tracing_unavailable: undefined,
  ui_unavailable: 500,
  update_invalid: 400,
  workflow_not_found: 404,
};

/** A value that fits its schema and is wrong all the same; the message names it and what was expected. */
export class InputInvalidError extends AppError {
  readonly code = 'input_invalid';
}

/** Postgres: stack depth limit exceeded, as by JSON of 10,000 levels. */
const TOO_DEEP = '54001';
/** Postgres: a limit of its own, as the length of what an index takes. */
const TOO_LONG = '54000';
/** Postgres: no space left on its disk. */
const DISK_FULL = '53100';
/** Postgres: \u0000 or a lone surrogate, where a schema let it through. */
const UNSTORABLE = new Set(['22021', '22P05']);

interface Problem {
  status: number;
  text: string;
  /** Goes to the log. */
  ours: boolean;
}

function problemOf(error: unknown, bodyBytesMax: number): Problem {
  if (error instanceof AppError) {
    const status = STATUS[error.code];
    if (status !== undefined) return { status, text: error.message, ours: status >= 500 };
  }
  if (sqlState(error) === DISK_FULL)
    return { status: 507, text: 'storage_full: Postgres has no room left', ours: true };
  if (isTransient(error))
    return { status: 503, text: 'Postgres does not answer, try again later', ours: true };
  if (error instanceof RangeError || sqlState(error) === TOO_DEEP)
    return { status: 400, text: 'The body is nested too deeply', ours: true };
  if (sqlState(error) === TOO_LONG)
    return { status: 400, text: 'A text is too long to be indexed', ours: true };
  if (UNSTORABLE.has(sqlState(error) ?? ''))
    return { status: 400, text: 'A text contains \\u0000 or a lone surrogate', ours: true };
  return (
    parserProblem(error, bodyBytesMax) ?? { status: 500, text: 'Internal Server Error', ours: true }
  );
}

/** Of express and its body parser: they carry `status`, and `type` for the parser's. */
function parserProblem(error: unknown, bodyBytesMax: number): Problem | undefined {
  if (!(error instanceof Error) || !('status' in error) || typeof error.status !== 'number') return;
  const { status } = error;
  if (status < 400 || status >= 500) return;
  const type = 'type' in error ? error.type : undefined;
  if (type === 'entity.parse.failed')
    return { status: 400, text: 'Malformed JSON in request body', ours: false };
  if (type === 'entity.too.large')
    return {
      status: 413,
      text: `Request body too large: expected at most ${bodyBytesMax} bytes (BODY_BYTES_MAX)`,
      ours: false,
    };
  return { status, text: error.message, ours: false };
}

export function problemHandler(log: Log, bodyBytesMax: number): ErrorRequestHandler {
  // Express tells error handlers by their four parameters.
  return (error: unknown, request, response, _next) => {
    if (error instanceof z.ZodError) {
      sendZodError(response, error);
      return;
    }
    if (error instanceof AuthRefusedError && !response.headersSent) {
      response.setHeaders(error.headers);
      sendText(response, error.status, error.message);
      return;
    }
    const { status, text, ours } = problemOf(error, bodyBytesMax);
    if (ours)
      log[status < 500 || status === 503 ? 'warn' : 'error']('request failed', {
        method: request.method,
        path: request.path,
        status,
        error,
      });
    if (response.headersSent) {
      response.destroy();
      return;
    }
    if (status === 503) response.setHeader('retry-after', '1');
    sendText(response, status, text);
  };
}

function sendZodError(response: Response, error: z.ZodError): void {
  const body = { success: false, error: { issues: error.issues, name: 'ZodError' } };
  response.statusCode = 400;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(body));
}

export function sendText(response: Response, status: number, text: string): void {
  response.statusCode = status;
  response.setHeader('content-type', 'text/plain; charset=UTF-8');
  response.end(text);
}

export const notFound: RequestHandler = (_request, response) => {
  sendText(response, 404, '404 Not Found');
};
