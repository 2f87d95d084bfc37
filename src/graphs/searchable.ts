/** HTTP.md, 3.2: what of a run's configurable becomes checkpoint metadata, which the history's filter searches. */

/** Keys that say where or who, not what: metadata is shown. */
const NOT_METADATA = new Set([
  'checkpoint_ns',
  'checkpoint_id',
  'checkpoint_map',
  'run_id',
  'thread_id',
  'langgraph_auth_user',
  'langgraph_auth_permissions',
]);

export function searchable(configurable: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(configurable).filter(([key]) => !key.startsWith('__') && !NOT_METADATA.has(key)),
  );
}
