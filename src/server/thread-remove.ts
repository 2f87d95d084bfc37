/** Removing a thread while it may be at work: its runs are stopped first, and waited for. */
import type { Response } from 'express';
import type { Visibility } from '../postgres/visibility.ts';
import { activeRunsOf } from '../runs/find.ts';
import { RunNotFoundError, ThreadNotFoundError } from '../runs/run.ts';
import { deleteThread, readThread } from '../threads/thread.ts';
import type { RouteContext } from './context.ts';
import { cancelAndWait } from './run-cancel.ts';

/**
 * Nothing of the thread may come back after the answer, so its active runs are rolled back before.
 * @param response of the request that waits
 * @throws {ThreadNotFoundError} also when the caller may not see it
 * @throws {ThreadBusyError} when a run was created meanwhile
 * @throws {CancelTimeoutError}
 */
export async function removeThread(
  context: RouteContext,
  threadId: string,
  response: Response,
  visible: Visibility,
): Promise<void> {
  const { pool, guard } = context;
  await guard.watch(readThread(pool, threadId, visible));
  const active = await guard.watch(activeRunsOf(pool, threadId));
  if (active.length > 0)
    await cancelAndWait(context, threadId, active, 'rollback', response, visible).catch(
      (error: unknown) => {
        // The last of them has been rolled back meanwhile.
        if (!(error instanceof RunNotFoundError)) throw error;
      },
    );
  await guard.watch(deleteThread(pool, threadId, visible));
}

/** @returns false when there was none; else as removeThread */
export async function removeIfThere(...of: Parameters<typeof removeThread>): Promise<boolean> {
  try {
    await removeThread(...of);
    return true;
  } catch (error) {
    if (error instanceof ThreadNotFoundError) return false;
    throw error;
  }
}
