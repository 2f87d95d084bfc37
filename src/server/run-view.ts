/** A run as the API shows it. */
import type { RunKwargs, RunRow } from '../runs/run.ts';

export function runView(row: RunRow): object {
  return {
    run_id: row.run_id,
    thread_id: row.thread_id,
    assistant_id: row.assistant_id,
    created_at: row.created_at,
    updated_at: row.updated_at,
    status: row.status,
    metadata: row.metadata,
    kwargs: withoutTrace(row.kwargs),
    multitask_strategy: row.multitask_strategy,
  };
}

function withoutTrace({ trace: _, ...kwargs }: RunKwargs): Omit<RunKwargs, 'trace'> {
  return kwargs;
}
