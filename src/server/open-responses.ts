/**
 * Responses that last: event streams and waits. When the server stops, each is told to break off. Broken
 * off, not ended: a client takes an orderly end for the end of its run, and comes back only after a
 * broken connection.
 */
export interface OpenResponses {
  /** True once the server stops: a close that follows is not the client's doing. */
  readonly stopping: boolean;
  /** @param breakOff called at most once, soon when the server stops already @returns forgets the response */
  add(breakOff: () => void): () => void;
  /** Idempotent. */
  breakOffAll(): void;
}

export function createOpenResponses(): OpenResponses {
  const open = new Set<() => void>();
  let stopping = false;
  return {
    get stopping() {
      return stopping;
    },
    add(breakOff) {
      open.add(breakOff);
      if (stopping)
        queueMicrotask(() => {
          if (open.delete(breakOff)) breakOff();
        });
      return () => open.delete(breakOff);
    },
    breakOffAll() {
      stopping = true;
      for (const breakOff of open) breakOff();
      open.clear();
    },
  };
}
