/** One actor's turn in one superstep: what was planned and what came of it. */
import type { PendingWrite } from './checkpoint.ts';
import type { Interrupt } from './control.ts';
import type { ActorPlan } from './topology.ts';

/** pull: selected by a channel; push: one Send packet; call: a functional `task` inside an actor. */
export type TaskKind = 'pull' | 'push' | 'call';

export class Task {
  readonly kind: TaskKind;
  readonly plan: ActorPlan;
  readonly input: unknown;
  /** Channels whose update selected the actor (pull). */
  readonly fired: readonly number[];
  /** Place among the step's Send packets (push), or -1. */
  readonly index: number;
  /** In order; a channel may occur several times. */
  writes: PendingWrite[] = [];
  /** The one that counts; what an earlier one still writes comes too late. */
  attempt = 1;
  status: 'planned' | 'running' | 'done' | 'interrupted' | 'failed' = 'planned';
  interrupts: readonly Interrupt[] = [];
  error: unknown = undefined;
  /** Its result was found beside the checkpoint: it does not run again. */
  cached = false;
  /** Computed when first needed: most steps need none. */
  id: string | undefined = undefined;

  constructor(
    kind: TaskKind,
    plan: ActorPlan,
    input: unknown,
    fired: readonly number[],
    index: number,
  ) {
    this.kind = kind;
    this.plan = plan;
    this.input = input;
    this.fired = fired;
    this.index = index;
  }

  get name(): string {
    return this.plan.name;
  }
}
