/** How a full sink holds a graph back: by what its adapter waits for before it goes on. */
import type { EventSink } from './port.ts';

/**
 * @param stop a run that is to end does not wait
 * @returns undefined while the sink has room, else settles when it has, or when `stop` is aborted
 */
export function roomIn(sink: EventSink, stop: AbortSignal): Promise<void> | undefined {
  const drained = sink.drained();
  if (drained === undefined || stop.aborted) return undefined;
  return new Promise((resolve) => {
    const go = (): void => {
      stop.removeEventListener('abort', go);
      resolve();
    };
    stop.addEventListener('abort', go, { once: true });
    drained.then(go, go);
  });
}
