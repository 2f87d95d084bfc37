/**
 * Of runs that were lost as often as one may be, a process begins one, and the next only when that has ended or has
 * gone well for a while: if one of them kills the process, the others, which may only have been beside it each time,
 * do not lose their last chance with it. Not until each has ended: two crashes of a worker would have its hundred
 * long runs executed one after the other.
 */
import { isLastChance } from '../runs/claim.ts';
import type { Claim } from '../runs/claim.ts';

/** What kills its process does so soon, or by chance. */
export const LAST_CHANCE_ALONE_MS = 5_000;

export interface LastChance {
  /** @param ask gets whether it may bring a run on its last chance */
  claim(ask: (lastChances: boolean) => Promise<Claim | undefined>): Promise<Claim | undefined>;
  /** The attempt at `claim` is over. */
  over(claim: Claim): void;
}

/** @param onFree others on their last chance may be claimed: their wake-ups have come and gone */
export function createLastChance(onFree: () => void): LastChance {
  /** `asking`: a claim is under way that may bring one. */
  let alone: Claim | 'asking' | undefined;

  function free(claim: Claim): void {
    if (alone !== claim) return;
    alone = undefined;
    onFree();
  }

  return {
    async claim(ask) {
      if (alone !== undefined) return ask(false);
      alone = 'asking';
      let claim: Claim | undefined;
      try {
        claim = await ask(true);
        return claim;
      } finally {
        alone = claim !== undefined && isLastChance(claim) ? claim : undefined;
        if (alone !== undefined) {
          const taken = alone;
          setTimeout(() => {
            free(taken);
          }, LAST_CHANCE_ALONE_MS).unref();
        }
      }
    },
    over: free,
  };
}
