/** What a seed is failed with: the claim that does not hold, in one line. */
export class Violation extends Error {}

export function must(condition: boolean, claim: () => string): asserts condition {
  if (!condition) throw new Violation(claim());
}
