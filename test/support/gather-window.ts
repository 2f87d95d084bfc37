/**
 * A run's checkpoints are gathered for some milliseconds before they are written. A machine that is held up for longer in
 * the middle of a run has them written in two parts, which is right, and of no interest where statements are counted.
 */
import { GATHER_MS } from '../../src/checkpoints/queue.ts';

/** Far longer than a run that is counted; ends with it. */
const HELD_MS = 20_000;

/** Windows that open from now on stay open until their run has ended. @returns lets them end in time again */
export function holdGatherWindow(): () => void {
  const { setTimeout: original } = globalThis;
  globalThis.setTimeout = ((run: () => void, ms?: number, ...args: []) =>
    ms === GATHER_MS
      ? original(run, HELD_MS, ...args).unref()
      : original(run, ms, ...args)) as typeof original;
  return () => {
    globalThis.setTimeout = original;
  };
}
