/** Answers with the end of a run: a newline now and then while it lasts, then one JSON document. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Response } from 'express';
import { DELETED } from '../events/ends.ts';
import type { LogEnd } from '../events/redis-backend.ts';
import { isTransient } from '../postgres/pool.ts';
import type { Db } from '../postgres/pool.ts';
import { EVERYTHING } from '../postgres/visibility.ts';
import { isTerminal, RUN_STATUSES } from '../runs/run.ts';
import { readOutcome } from '../runs/find.ts';
import type { Outcome } from '../runs/find.ts';
import { cancel } from '../runs/submit.ts';
import type { RouteContext } from './context.ts';
import { sendJsonText } from './respond.ts';

/** So often something is written, so that no proxy takes the connection for dead. */
const KEEP_ALIVE_MS = 1_000;
/** A wait that lasts longer says at once what it can: which run it is and where a client comes back to. */
const HEADERS_AFTER_MS = 20;
/** How long an outcome may be waited for when Postgres is away just as the run has ended. */
const OUTCOME_LIMIT_MS = 60_000;
const OUTCOME_RETRY_MS = { first: 50, max: 1_000 };
/** Given as reason, because the default one is an exception with a stack, made anew for every wait. */
const NOT_WAITING = new Error('nobody waits any more');

export interface WaitOptions {
  readonly threadId: string;
  readonly runId: string;
  /** The run was there before: it may have ended already. */
  readonly mayHaveEnded: boolean;
  readonly cancelOnDisconnect: boolean;
  /** What is answered instead of the run's output: JSON text, made once the run has ended. */
  readonly answer?: () => Promise<string>;
}

export async function answerWithEnd(
  context: RouteContext,
  response: Response,
  options: WaitOptions,
): Promise<void> {
  const { runId, threadId, cancelOnDisconnect } = options;
  // The client went while its run was being made: its leaving is told no more.
  if (response.destroyed) {
    if (cancelOnDisconnect) cancelLeft(context, options);
    return;
  }
  const gone = new AbortController();
  const query = cancelOnDisconnect ? '?cancel_on_disconnect=1' : '';
  // Where a client comes back to when the connection breaks: a second POST would be a second run.
  response.setHeader('location', `/threads/${threadId}/runs/${runId}/join${query}`);
  const sendHeaders = (): void => {
    if (response.headersSent) return;
    response.setHeader('content-type', 'application/json');
    response.flushHeaders();
  };
  const headers = setTimeout(sendHeaders, HEADERS_AFTER_MS);
  const keepAlive = setInterval(() => {
    sendHeaders();
    response.write('\n');
  }, KEEP_ALIVE_MS);
  const endTimers = (): void => {
    clearTimeout(headers);
    clearInterval(keepAlive);
  };
  let answered = false;
  const onClose = (): void => {
    gone.abort(NOT_WAITING);
    if (!answered && cancelOnDisconnect) cancelLeft(context, options);
  };
  response.once('close', onClose);
  try {
    // Listen first, then look.
    const ended = context.ends.wait(runId, gone.signal);
    ended.catch(() => undefined);
    let outcome = options.mayHaveEnded
      ? await outcomeOf(context.pool, runId, gone.signal)
      : undefined;
    if (outcome === undefined || !isTerminal(outcome.status)) {
      const end = await ended;
      outcome =
        end.status === DELETED
          ? undefined
          : (toldBy(end) ?? (await outcomeOf(context.pool, runId, gone.signal)));
    }
    const text = (await options.answer?.()) ?? answerOf(outcome);
    endTimers();
    answered = true;
    sendJsonText(response, text);
  } catch (error) {
    if (!gone.signal.aborted) throw error;
  } finally {
    endTimers();
    // When the look has answered, nobody listens any more.
    gone.abort(NOT_WAITING);
  }
}

/** The end was told after its commit: what it says stands in the row. */
function toldBy({ status, outcome }: LogEnd): Outcome | undefined {
  const known = RUN_STATUSES.find((one) => one === status);
  return outcome === undefined || known === undefined ? undefined : { status: known, ...outcome };
}

/** Tries again while Postgres is away: after an error the client would send its request, and so its run, anew. */
async function outcomeOf(db: Db, runId: string, signal: AbortSignal): Promise<Outcome | undefined> {
  const deadline = Date.now() + OUTCOME_LIMIT_MS;
  for (let delayMs = OUTCOME_RETRY_MS.first; ;) {
    try {
      return await readOutcome(db, runId);
    } catch (error) {
      if (!isTransient(error) || Date.now() > deadline) throw error;
      await delay(delayMs, undefined, { signal });
      delayMs = Math.min(delayMs * 2, OUTCOME_RETRY_MS.max);
    }
  }
}

/** Never `null`: clients look into the answer for `__error__`. */
function answerOf(outcome: Outcome | undefined): string {
  if (outcome === undefined)
    return errorText({ error: 'RunNotFoundError', message: 'The run was rolled back or deleted' });
  const { status, error } = outcome;
  if (status === 'error' || status === 'timeout')
    return errorText(error ?? { error: 'Error', message: `The run ended as ${status}` });
  return outcome.output === null || outcome.output === 'null' ? '{}' : outcome.output;
}

const errorText = (error: { error: string; message: string }): string =>
  JSON.stringify({ __error__: error });

/**
 * The client has left, and had asked that its run then stops; whether it may ask that was looked at then. A server that stops
 * is left by all its clients: that is not their doing.
 */
export function cancelLeft(
  context: RouteContext,
  run: { readonly threadId: string; readonly runId: string },
): void {
  if (context.open.stopping) return;
  cancel(context.submit, run.threadId, [run.runId], 'interrupt', EVERYTHING).catch(
    (error: unknown) => {
      context.log.warn('cancel after disconnect failed', {
        thread_id: run.threadId,
        run_id: run.runId,
        error,
      });
    },
  );
}
