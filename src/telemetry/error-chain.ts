/**
 * An error and its causes, as text. AppError's rule is that a message never repeats its cause's, so
 * only the whole chain says what happened. Used by the log, and by whoever prints an error.
 */
import { isNativeError } from 'node:util/types';

/** Longer chains, and chains that bite their own tail, are cut. */
const DEPTH_MAX = 10;
/** Of an AggregateError's errors: enough to see the pattern. */
const AGGREGATED_MAX = 5;

export interface ErrorLink {
  name: string;
  message: string;
  /** AppError's code, SQLSTATE, or errno name. */
  code?: string;
  stack?: string;
}

/** Outermost first. Anything can be thrown, so anything is taken. */
export function errorChain(error: unknown): ErrorLink[] {
  const links: ErrorLink[] = [];
  collect(error, links, new Set());
  return links;
}

/** One line: `RunFailedError [run_failed]: message ← Error [ECONNREFUSED]: connect …` */
export function errorSummary(error: unknown): string {
  return errorChain(error).map(oneLine).join(' ← ');
}

/** Names, messages and stacks, each cause below what it caused. */
export function errorText(error: unknown): string {
  return errorChain(error)
    .map((link, depth) => {
      const frames = link.stack?.slice(link.stack.indexOf('\n    at ')) ?? '';
      const trace = frames.startsWith('\n    at ') ? frames : '';
      return `${depth === 0 ? '' : 'caused by '}${oneLine(link)}${trace}`;
    })
    .join('\n');
}

function oneLine({ name, code, message }: ErrorLink): string {
  return `${name}${code === undefined ? '' : ` [${code}]`}: ${message}`;
}

function collect(error: unknown, links: ErrorLink[], seen: Set<unknown>): void {
  if (links.length >= DEPTH_MAX || seen.has(error)) return;
  seen.add(error);
  if (!isNativeError(error)) {
    links.push({ name: 'Thrown', message: describe(error) });
    return;
  }
  const code: unknown = 'code' in error ? error.code : undefined;
  links.push({
    name: error.name,
    message: error.message,
    ...(typeof code === 'string' ? { code } : {}),
    ...(error.stack === undefined ? {} : { stack: error.stack }),
  });
  if (error.cause !== undefined) collect(error.cause, links, seen);
  const several: unknown = 'errors' in error ? error.errors : undefined;
  if (Array.isArray(several))
    for (const one of several.slice(0, AGGREGATED_MAX)) collect(one, links, seen);
}

function describe(value: unknown): string {
  if (typeof value === 'string') return value;
  try {
    // Not a string for functions and symbols, whatever its type says.
    const text: unknown = JSON.stringify(value);
    return typeof text === 'string' ? text : typeof value;
  } catch {
    return Object.prototype.toString.call(value);
  }
}
