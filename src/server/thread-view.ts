/** A thread as the API shows it. */
import type { ThreadRow } from '../threads/thread.ts';

export function threadView(row: ThreadRow): object {
  return {
    thread_id: row.thread_id,
    created_at: row.created_at,
    updated_at: row.updated_at,
    metadata: row.metadata,
    status: row.status,
    config: row.config,
    values: row.values,
    interrupts: row.interrupts,
    ...(row.error === null ? {} : { error: row.error }),
  };
}
