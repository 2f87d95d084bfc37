/** Cancelling and waiting until the runs have really stopped. */
import type { Response } from 'express';
import { AppError } from '../errors.ts';
import type { Visibility } from '../postgres/visibility.ts';
import { RunNotFoundError } from '../runs/run.ts';
import type { CancelAction } from '../runs/run.ts';
import { cancel } from '../runs/submit.ts';
import type { RouteContext } from './context.ts';

/** Longer than a worker may take before it is fenced, and the sweep that does it. */
const WAIT_MS_MAX = 30_000;

/** The worker has not stopped the run, and nobody has fenced it. */
export class CancelTimeoutError extends AppError {
  readonly code = 'run_timeout';
}

/**
 * @param response of the request that waits: when it closes, the wait ends
 * @throws {RunNotFoundError} when the thread has none of the runs, or the caller may not see it
 * @throws {CancelTimeoutError}
 */
export async function cancelAndWait(
  context: RouteContext,
  threadId: string,
  runIds: readonly string[],
  action: CancelAction,
  response: Response,
  visible: Visibility,
): Promise<void> {
  const over = new AbortController();
  const stopWaiting = (): void => {
    over.abort();
  };
  response.once('close', stopWaiting);
  const timer = setTimeout(() => {
    over.abort(
      new CancelTimeoutError(
        `The run was asked to stop and has not done so within ${WAIT_MS_MAX / 1_000} s`,
      ),
    );
  }, WAIT_MS_MAX);
  try {
    const ends = new Map(runIds.map((runId) => [runId, context.ends.wait(runId, over.signal)]));
    for (const end of ends.values()) end.catch(() => undefined);
    const cancelled = await context.guard.watch(
      cancel(context.submit, threadId, runIds, action, visible),
    );
    if (cancelled === undefined) throw new RunNotFoundError('Run not found');
    // Those that had ended before, or by the cancel itself, are not waited for.
    for (const { runId } of cancelled.asked) await ends.get(runId);
  } finally {
    clearTimeout(timer);
    response.off('close', stopWaiting);
    over.abort();
  }
}
