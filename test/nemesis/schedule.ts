/** Which fault comes when, for how long: all of it follows from the seed. */
import { createRandom } from '../property/log/random.ts';

/** Longest time a fault of each kind lasts, in ms; 0: it is over at once. */
export const FAULTS = {
  'kill worker': 1_500,
  'stop worker': 1_000,
  'freeze worker': 4_500,
  'kill server': 1_500,
  'stop server': 1_000,
  'kill redis': 2_500,
  'flush redis': 0,
  'freeze redis': 3_000,
  'cut redis': 0,
  'lose redis replies': 600,
  'slow redis': 3_000,
  'kill pubsub': 0,
  /** What only Redis and a worker have, both lost: who saw it is due a rewind. */
  'lose a tail': 500,
  'kill postgres': 2_500,
  'freeze postgres': 2_500,
  'cut postgres': 0,
  'lose postgres replies': 600,
  'slow postgres': 2_000,
  'part from redis': 3_000,
  'part from postgres': 2_500,
  /** Redis has no memory left, Postgres no disk. */
  'fill redis': 3_000,
  'fill postgres': 2_500,
  /** Of the queue alone; or each run, whatever it is doing, is queued several times more. */
  'lose wake-ups': 0,
  'repeat wake-ups': 0,
  /** Each process' clock goes wrong by itself, by up to an hour back or forth. */
  'set clocks wrong': 4_000,
} as const;
export type FaultKind = keyof typeof FAULTS;

export interface PlannedFault {
  readonly kind: FaultKind;
  /** From the end of the one before. */
  readonly afterMs: number;
  readonly forMs: number;
  /** Which of several, e.g. workers: taken modulo their number. */
  readonly which: number;
}

const PAUSE_MS_MAX = 2_500;

export const FAULT_KINDS = Object.keys(FAULTS) as FaultKind[];

/** Endless. @param kinds of which faults are chosen */
export function* schedule(
  seed: number,
  kinds: readonly FaultKind[] = FAULT_KINDS,
): Generator<PlannedFault> {
  const random = createRandom(seed);
  for (;;) {
    const kind = random.pick(kinds) ?? 'kill worker';
    yield {
      kind,
      afterMs: random.below(PAUSE_MS_MAX),
      forMs: random.below(FAULTS[kind] + 1),
      which: random.below(1_000),
    };
  }
}
