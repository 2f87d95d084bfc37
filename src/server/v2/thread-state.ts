/** A thread's state, or that of a subgraph, for state.get. */
import type { Access } from '../../auth/gate.ts';
import { readThread } from '../../threads/thread.ts';
import type { RouteContext } from '../context.ts';
import { queryAt } from '../state-query.ts';
import { CommandRefusedError } from './answer.ts';

export interface KeyedState {
  readonly values: Record<string, unknown>;
  readonly checkpoint: { id: string; ns?: string } | undefined;
}

/**
 * @throws {ThreadNotFoundError}
 * @throws {CommandRefusedError} no_such_namespace
 */
export async function readThreadState(
  { pool, graphs }: RouteContext,
  access: Access,
  threadId: string,
  namespace: readonly string[],
): Promise<KeyedState> {
  const { visible } = await access.ask('threads:read', { thread_id: threadId });
  const thread = await readThread(pool, threadId, visible);
  const graphId = thread.metadata['graph_id'];
  const checkpointNs = namespace.join('|');
  // No run has bound a graph yet: nothing is there.
  if (typeof graphId !== 'string') return { values: {}, checkpoint: undefined };
  const graph = await graphs.get(graphId);
  const at = checkpointNs === '' ? {} : { checkpoint_ns: checkpointNs };
  const state = await graph
    .getState({ ...queryAt(thread, at, access.user), subgraphs: false })
    .catch((cause: unknown) => {
      if (checkpointNs === '' || !(cause instanceof Error)) throw cause;
      return undefined;
    });
  if (state === undefined || (checkpointNs !== '' && state.checkpoint === null))
    throw new CommandRefusedError(
      'no_such_namespace',
      `Thread ${threadId} has no state in ${JSON.stringify(namespace)}.`,
    );
  const { checkpoint_id: id, checkpoint_ns: ns } = state.checkpoint ?? {};
  return {
    values: (state.values ?? {}) as Record<string, unknown>,
    checkpoint:
      typeof id === 'string' ? { id, ...(typeof ns === 'string' ? { ns } : {}) } : undefined,
  };
}
