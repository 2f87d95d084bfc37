/** Removing a run that has ended: its thread's row then shows what is left, as if the run had not been. */
import type { AuthUser } from '../auth/user.ts';
import type { Visibility } from '../postgres/visibility.ts';
import { deleteRun } from '../runs/find.ts';
import { readThread } from '../threads/thread.ts';
import type { RouteContext } from './context.ts';
import { queryAt, showCurrentState } from './state-query.ts';

/**
 * @param user who asks; undefined: no auth is configured
 * @throws what deleteRun throws
 */
export async function removeRun(
  { pool, graphs, log }: RouteContext,
  threadId: string,
  runId: string,
  visible: Visibility,
  user: AuthUser | undefined,
): Promise<void> {
  const lastRun = await deleteRun(pool, threadId, runId, visible);
  try {
    const thread = await readThread(pool, threadId, visible);
    const graphId = thread.metadata['graph_id'];
    // One with a run shows what that comes to.
    if (thread.active_runs > 0 || typeof graphId !== 'string' || !graphs.has(graphId)) return;
    const graph = await graphs.get(graphId);
    await showCurrentState(pool, graph, queryAt(thread, {}, user), lastRun);
  } catch (error) {
    // The run is gone whether or not its graph can be asked: who tries again would be told that there is none.
    log.error('the state without a deleted run cannot be shown', { thread_id: threadId, error });
  }
}
