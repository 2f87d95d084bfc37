/**
 * What a run says is gathered for some milliseconds before it is sent. A machine that is held up for longer in the middle
 * of a run sends it in two parts, which is right, and of no interest where statements are counted.
 */
import { GATHER_MS } from '../../src/checkpoints/queue.ts';
import { FIRST_APPEND_MS } from '../../src/events/writer.ts';

/** Far longer than a run that is counted; ends with it. */
const HELD_MS = 20_000;

/** Windows that open from now on stay open until their run has ended. @returns lets them end in time again */
export function holdGatherWindows(): () => void {
  const { setTimeout: original } = globalThis;
  globalThis.setTimeout = ((run: () => void, ms?: number, ...args: []) =>
    ms === GATHER_MS || ms === FIRST_APPEND_MS
      ? original(run, HELD_MS, ...args).unref()
      : original(run, ms, ...args)) as typeof original;
  return () => {
    globalThis.setTimeout = original;
  };
}
