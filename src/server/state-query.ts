/** From a thread's row to its graph's state, and back into the row. */
import type { AuthUser } from '../auth/user.ts';
import { AppError } from '../errors.ts';
import type { Graph, StateQuery } from '../graphs/port.ts';
import { isTransient, sqlState } from '../postgres/pool.ts';
import type { Db } from '../postgres/pool.ts';
import type { LastRun } from '../runs/find.ts';
import { userConfigurable } from '../runs/run.ts';
import { readTerm, showState } from '../threads/thread.ts';
import type { ShownState, ThreadRow } from '../threads/thread.ts';
import { InputInvalidError } from './problem.ts';

export interface CheckpointRef {
  checkpoint_id?: string | null | undefined;
  checkpoint_ns?: string | null | undefined;
  checkpoint_map?: Record<string, unknown> | null | undefined;
}

/** What the graph itself throws says what is wrong with the update, e.g. that there is no such node. */
export function refused(cause: unknown): never {
  if (cause instanceof AppError || isTransient(cause) || sqlState(cause) !== undefined) throw cause;
  throw new InputInvalidError(
    `The graph refuses the update: ${cause instanceof Error ? cause.message : String(cause)}`,
    { cause },
  );
}

/**
 * The thread's configuration rebuilds a graph that is made by a function of it.
 * @param user who asks; undefined: no auth is configured
 */
export function queryAt(
  thread: ThreadRow,
  at: CheckpointRef,
  user: AuthUser | undefined,
): Omit<StateQuery, 'subgraphs'> {
  const { configurable } = thread.config;
  return {
    threadId: thread.thread_id,
    config: {
      configurable: {
        ...(typeof configurable === 'object' ? configurable : {}),
        thread_id: thread.thread_id,
        graph_id: thread.metadata['graph_id'],
        assistant_id: thread.metadata['assistant_id'],
        ...userConfigurable(user),
      },
      metadata: {},
    },
    ...(at.checkpoint_id == null ? {} : { checkpointId: at.checkpoint_id }),
    ...(at.checkpoint_ns == null ? {} : { checkpointNs: at.checkpoint_ns }),
    ...(at.checkpoint_map == null ? {} : { checkpointMap: at.checkpoint_map }),
  };
}

/**
 * After a change by hand: the thread's row shows what the graph has now.
 * @param lastRun whose end is to be the thread's; absent: the end it tells of stays
 */
export async function showCurrentState(
  db: Db,
  graph: Graph,
  at: Omit<StateQuery, 'subgraphs'>,
  lastRun?: LastRun,
): Promise<void> {
  const term = await readTerm(db, at.threadId);
  if (term === undefined) return;
  const { values, next, tasks, checkpoint } = await graph.getState({ ...at, subgraphs: false });
  const interrupts = Object.fromEntries(tasks.map((task) => [task.id, task.interrupts]));
  const id = checkpoint?.['checkpoint_id'];
  const checkpointId = typeof id === 'string' ? id : null;
  await showState(db, at.threadId, term, {
    values,
    interrupts,
    checkpointId,
    outcome: lastRun && outcomeOf(lastRun, next),
  });
}

/** As the run's end has written it. */
function outcomeOf({ status, error }: LastRun, next: readonly string[]): ShownState['outcome'] {
  if (status === 'error' || status === 'timeout') return { status: 'error', error };
  const waits = status !== 'interrupted' && next.length > 0;
  return { status: waits ? 'interrupted' : 'idle', error: null };
}
