/**
 * The root of a run's lifecycle. Whoever begins or ends the run writes it, beside the graph: a graph
 * cannot tell that its worker was lost, that it was cancelled, or that its end was really stored.
 */
import { protocolType } from './event.ts';
import type { ProtocolEventData } from './event.ts';

export type RootStatus = 'running' | 'completed' | 'failed' | 'interrupted';

/** How a run is written to the log: as stream modes, or as protocol v2. */
export type Protocol = 'v2' | undefined;

export interface RunShape {
  readonly graphId: string | null;
  readonly kwargs: { readonly protocol?: Protocol };
}

/**
 * The log event that tells of the run's state.
 * @returns nothing for runs that are not written as protocol v2
 */
export function rootLifecycle(
  run: RunShape,
  event: RootStatus,
  error?: string,
): { type: string; data: string }[] {
  if (run.kwargs.protocol !== 'v2') return [];
  const body: ProtocolEventData = {
    method: 'lifecycle',
    params: {
      namespace: [],
      timestamp: Date.now(),
      data: {
        event,
        graph_name: run.graphId ?? 'root',
        ...(error === undefined ? {} : { error }),
      },
    },
  };
  return [{ type: protocolType('lifecycle', []), data: JSON.stringify(body) }];
}

/** @param data of an event of the root's lifecycle */
export function isRootEnd(data: string): boolean {
  const { params } = JSON.parse(data) as { params: { data: { event: RootStatus } } };
  return params.data.event !== 'running';
}
