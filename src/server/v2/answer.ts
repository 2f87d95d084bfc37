/** Answers to the commands of protocol v2. They tell of a failure themselves: the HTTP status is 200 all the same. */
import { AppError } from '../../errors.ts';

export type ErrorName =
  | 'invalid_argument'
  | 'unknown_command'
  | 'unknown_error'
  | 'no_such_run'
  | 'no_such_subscription'
  | 'no_such_namespace'
  | 'no_such_interrupt'
  | 'no_such_checkpoint'
  | 'permission_denied'
  | 'not_supported';

export interface Command {
  readonly id: number;
  readonly method: string;
  readonly params?: unknown;
}

export type Answer =
  | {
      type: 'success';
      id: number;
      result: object;
      /** Every event up to this seq is stored. */
      meta: { thread_id: string; applied_through_seq: number };
    }
  | { type: 'error'; id: number | null; error: ErrorName; message: string };

/** A command that cannot be done, as its client is told. Never leaves the handling of commands. */
export class CommandRefusedError extends AppError {
  readonly code = 'command_refused';
  readonly error: ErrorName;
  constructor(error: ErrorName, message: string) {
    super(message);
    this.error = error;
  }
}

export const errorAnswer = (id: number | null, error: ErrorName, message: string): Answer => ({
  type: 'error',
  id,
  error,
  message,
});
