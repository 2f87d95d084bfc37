/**
 * The log: one line per thing that happened, with the ids it happened to as fields, so that a run is
 * found by `run_id` and not by reading. JSON for machines, one readable line for people.
 *
 * Errors are given as `error` in the context and printed with all their causes (error-chain.ts). A
 * logger never throws: a context that cannot be written is said to be so.
 */
import { createLogger, format, transports, type Logger } from 'winston';
import { errorChain, errorText } from './error-chain.ts';
import { redactField, redactUrl } from './redact.ts';

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export type LogFormat = 'json' | 'text';
/** snake_case names; plain values. `error` may be anything that was thrown. */
export type LogContext = Readonly<Record<string, unknown>>;

export interface Log {
  error(message: string, context?: LogContext): void;
  warn(message: string, context?: LogContext): void;
  info(message: string, context?: LogContext): void;
  debug(message: string, context?: LogContext): void;
  /** The same log with more context on every line. */
  child(context: LogContext): Log;
}

export interface LogOptions {
  level: LogLevel;
  format: LogFormat;
  /** Which process: `server`, `worker`. */
  name: string;
  /** Default: standard output. */
  stream?: NodeJS.WritableStream;
}

/** Fields are time, level, name and message, then the context. */
interface Line {
  time: string;
  level: string;
  name: string;
  message: string;
  context: LogContext;
}

export function createLog(options: LogOptions): Log {
  const render = options.format === 'json' ? asJson : asText;
  const winston = createLogger({
    level: options.level,
    levels: Object.fromEntries(LOG_LEVELS.map((level, index) => [level, index])),
    format: format.printf(({ level, message, context }) =>
      render({
        time: new Date().toISOString(),
        level,
        name: options.name,
        message: redactUrl(String(message)),
        context: context as LogContext,
      }),
    ),
    // A stream and not winston's console: that one writes through `console`, which Jest and others replace.
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- winston types transports as interfaces
    transports: [new transports.Stream({ stream: options.stream ?? process.stdout, eol: '\n' })],
  });
  return logOf(winston, {});
}

function logOf(winston: Logger, base: LogContext): Log {
  const at =
    (level: LogLevel) =>
    (message: string, context?: LogContext): void => {
      if (!winston.isLevelEnabled(level)) return;
      // As one field: winston merges others into the line, and lets a `message` or `level` among them win.
      winston.log({ level, message, context: { ...base, ...context } });
    };
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    child: (context) => logOf(winston, { ...base, ...context }),
  };
}

function asJson({ context, ...head }: Line): string {
  const { error, ...rest } = context;
  const fields = {
    ...rest,
    ...(error === undefined
      ? {}
      : {
          error: errorChain(error).map((link) => ({
            ...link,
            message: redactUrl(link.message),
            ...(link.stack === undefined ? {} : { stack: redactUrl(link.stack) }),
          })),
        }),
  };
  try {
    // The head last: a field of the context never replaces it.
    return JSON.stringify({ ...head, ...fields, ...head }, plain);
  } catch (cause) {
    return JSON.stringify({ ...head, context_invalid: errorText(cause).split('\n')[0] });
  }
}

function asText({ time, level, name, message, context }: Line): string {
  const { error, ...rest } = context;
  const fields = Object.entries(rest)
    .filter(([, value]) => value !== undefined)
    .map(([field, value]) => ` ${field}=${textOf(redactField(field, value))}`);
  const trace =
    error === undefined ? '' : `\n${redactUrl(errorText(error)).replaceAll(/^/gm, '    ')}`;
  return `${time.slice(11, 23)} ${level.padEnd(5)} ${name}: ${message}${fields.join('')}${trace}`;
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
  try {
    // Not a string for functions and symbols, whatever its type says.
    const text: unknown = JSON.stringify(value, plain);
    return typeof text === 'string' ? text : typeof value;
  } catch {
    return '[not serialisable]';
  }
}

function plain(name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : redactField(name, value);
}
