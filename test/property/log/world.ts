/** Everything one seed plays with. */
import type { LogEvent, Postgres } from './postgres.ts';
import type { Random } from './random.ts';
import type { Append, Redis, Reopen } from './redis.ts';
import type { Rules } from './rules.ts';

export interface World {
  readonly rules: Rules;
  readonly random: Random;
  readonly pg: Postgres;
  readonly redis: Redis;
  /** Commands that are still to arrive, late or for the second time. */
  readonly wire: (Append | Reopen)[];
  /** How probable such a copy is, per command. */
  copies: number;
  /** Counts what can be ordered: acknowledgements and claims. */
  clock: number;
  nextValue(): number;
  /** The live hint: some readers get it. */
  publish(events: readonly LogEvent[]): void;
  readonly trace: ((line: string) => void) | undefined;
}
