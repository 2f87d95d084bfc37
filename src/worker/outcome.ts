/** What an attempt's graph came to. An error of the graph is the run's last event and stands in its row. */
import { AppError } from '../errors.ts';
import { LogFencedError } from '../events/writer.ts';
import type { LogWriter } from '../events/writer.ts';
import type { ExecutionResult } from '../graphs/port.ts';
import type { TerminalStatus } from '../runs/run.ts';

export interface Outcome {
  readonly status: TerminalStatus;
  readonly error: { error: string; message: string } | null;
  readonly result: ExecutionResult | null;
}

/** Never rejects. */
export async function outcomeOf(execution: Promise<ExecutionResult>): Promise<Outcome | Error> {
  try {
    return { status: 'success', error: null, result: await execution };
  } catch (error) {
    return errorOf(error);
  }
}

export const errorOf = (error: unknown): Error =>
  error instanceof Error ? error : new Error(String(error));

export const interrupted: Outcome = { status: 'interrupted', error: null, result: null };

export function failed(writer: LogWriter, { name, message }: Error): Outcome {
  return told(writer, 'error', { error: name, message });
}

export function timedOut(writer: LogWriter, timeoutMs: number): Outcome {
  const message = `run exceeded ${timeoutMs / 1_000} s`;
  return told(writer, 'timeout', { error: 'RunTimeoutError', message });
}

/** Every attempt was lost: the run itself is the likely killer, so it is not tried again. */
export function deadLetter(writer: LogWriter, failures: number): Outcome {
  const message = `the run was given up: ${failures} attempts were lost or failed`;
  return told(writer, 'error', { error: 'WorkerLostError', message });
}

function told(
  writer: LogWriter,
  status: TerminalStatus,
  error: { error: string; message: string },
): Outcome {
  writer.emit('error', JSON.stringify(error));
  return { status, error, result: null };
}

/** A newer term owns the thread: whatever this attempt did is none of its business any more. */
export const isFenced = (error: Error): boolean =>
  error instanceof LogFencedError || (error instanceof AppError && error.code === 'term_fenced');
