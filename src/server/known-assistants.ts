/**
 * Assistants as this server last read them. A run is built from what is here and written only if the row is still of
 * that version, in the same statement: what another server has changed since costs a look and is never missed.
 */

/** A configuration as assistants and threads keep it. */
export interface StoredConfig {
  tags?: string[];
  recursion_limit?: number;
  configurable?: Record<string, unknown>;
  metadata?: Record<string, unknown>;
}

/** A version of an assistant's row, as run-request.ts reads it. */
export interface KnownAssistant {
  readonly assistant_id: string;
  /** Postgres' xmin: another after each write. */
  readonly version: string;
  readonly graph_id: string;
  readonly assistant_config: StoredConfig | null;
  readonly assistant_context: Record<string, unknown> | null;
  readonly assistant_metadata: Record<string, unknown> | null;
}

/** Assistants in memory; the oldest go first. */
const ASSISTANTS_MAX = 256;
/** Characters of one, as JSON: larger ones are read each time. */
const LENGTH_MAX = 64 * 1024;

export interface KnownAssistants {
  get(assistantId: string): KnownAssistant | undefined;
  learn(assistant: KnownAssistant): void;
  /** It has changed or is gone. */
  forget(assistantId: string): void;
}

export function createKnownAssistants(): KnownAssistants {
  const known = new Map<string, KnownAssistant>();
  return {
    get: (assistantId) => known.get(assistantId),
    learn(assistant) {
      if (JSON.stringify(assistant).length > LENGTH_MAX) return;
      known.delete(assistant.assistant_id);
      if (known.size >= ASSISTANTS_MAX) known.delete(known.keys().next().value ?? '');
      known.set(assistant.assistant_id, assistant);
    },
    forget(assistantId) {
      known.delete(assistantId);
    },
  };
}
