/** What an inspection found: one line, and how to mend it when it is not right. */
export interface Finding {
  readonly state: 'ok' | 'warn' | 'wrong';
  readonly what: string;
  readonly mend?: string;
}

/** Clocks that differ by more than this confuse people who read logs; leases do not depend on them. */
export const CLOCK_SKEW_MAX_MS = 1_000;

/** @param theirMs the other clock, read between the local times `before` and `after` */
export function clockFinding(
  name: string,
  theirMs: number,
  before: number,
  after: number,
): Finding {
  const skewMs = Math.round(theirMs - (before + after) / 2);
  return Math.abs(skewMs) - (after - before) / 2 <= CLOCK_SKEW_MAX_MS
    ? { state: 'ok', what: `${name}: clock differs by ${skewMs} ms` }
    : {
        state: 'warn',
        what: `${name}: clock differs by ${skewMs} ms`,
        mend: 'run NTP on both machines; leases use the server clock and stay right',
      };
}
