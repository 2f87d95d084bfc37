/** Why an attempt ends before its graph does. */
import { AppError } from '../errors.ts';
import type { CancelAction } from '../runs/run.ts';

export type Stop =
  | { kind: 'cancel'; action: CancelAction }
  | { kind: 'timeout' }
  | { kind: 'shutdown' }
  | { kind: 'lost' };

/** What the aborted signal's reason is, and what a sink throws to a graph that writes on after it. */
export class RunStoppedError extends AppError {
  readonly code = 'run_cancelled';
}
