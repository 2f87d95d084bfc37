/** A number of places that several loops share. Who waits for one gets it in the order of asking. */

export interface Slots {
  /** Settles when there is a place; it is taken then. */
  take(): Promise<void>;
  /** @returns false when there is none, or others wait for it */
  tryTake(): boolean;
  give(): void;
  /** Nobody waits any more, now or later: whoever asks has to look whether it is over. */
  open(): void;
}

export function createSlots(count: number): Slots {
  let free = count;
  let opened = false;
  const waiting: (() => void)[] = [];
  const tryTake = (): boolean => {
    if (free <= 0) return false;
    free--;
    return true;
  };
  return {
    tryTake,
    take: () =>
      opened || tryTake()
        ? Promise.resolve()
        : new Promise<void>((resolve) => {
            waiting.push(resolve);
          }),
    give() {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    },
    open() {
      opened = true;
      for (const resolve of waiting.splice(0)) resolve();
    },
  };
}
