/**
 * Attempts at deliveries under way in one process: at most `concurrency`, and fewer for one receiver, so that one that
 * hangs does not hold up the others. A stop gives them a moment, then breaks them off.
 */

/** At stop, attempts may go on for this long before they are broken off and given back. */
const STOP_GRACE_MS = 2_000;

export interface LanesOptions {
  readonly concurrency: number;
  /** Attempts under way for one receiver; those that claim at the same moment may be more. */
  readonly perReceiverMax: number;
  /**
   * Claims what is due.
   * @param busy receivers that have as many attempts as they may
   * @returns undefined: nothing is due; `again`: it was no attempt, ask again
   */
  claim(
    busy: ReadonlySet<string>,
  ): Promise<{ receiver: string; attempt(): Promise<void> } | 'again' | undefined>;
  onTrouble(error: unknown): void;
}

export interface Lanes {
  /** Aborted when a stop breaks attempts off. */
  readonly signal: AbortSignal;
  /** Something may be due. A lane works until nothing is; each attempt that it finds opens the next lane. */
  open(): void;
  /** @param first also waited for, under the same grace */
  stop(first?: Promise<void>): Promise<void>;
}

export function createLanes(options: LanesOptions): Lanes {
  const lanes = new Set<Promise<void>>();
  const underWay = new Map<string, number>();
  const abort = new AbortController();
  let stopping = false;

  function open(): void {
    if (stopping || lanes.size >= options.concurrency) return;
    const lane = work()
      .catch(options.onTrouble.bind(options))
      .finally(() => lanes.delete(lane));
    lanes.add(lane);
  }

  async function work(): Promise<void> {
    while (!stopping) {
      const busy = [...underWay].filter(([, n]) => n >= options.perReceiverMax);
      const claimed = await options.claim(new Set(busy.map(([receiver]) => receiver)));
      if (claimed === undefined) return;
      if (claimed === 'again') continue;
      const { receiver } = claimed;
      underWay.set(receiver, (underWay.get(receiver) ?? 0) + 1);
      open();
      try {
        await claimed.attempt();
      } finally {
        const others = (underWay.get(receiver) ?? 1) - 1;
        if (others === 0) underWay.delete(receiver);
        else underWay.set(receiver, others);
      }
    }
  }

  return {
    signal: abort.signal,
    open,
    async stop(first) {
      stopping = true;
      const grace = setTimeout(() => {
        abort.abort();
      }, STOP_GRACE_MS);
      await first;
      await Promise.all(lanes);
      clearTimeout(grace);
    },
  };
}
