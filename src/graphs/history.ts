/** A history query as the options that both runtimes understand. */
import type { HistoryQuery } from './port.ts';

interface HistoryOptions {
  readonly limit: number;
  /** A config that names the checkpoint; clients may send its `configurable` alone. */
  readonly before?: { configurable: Record<string, unknown> };
  readonly filter?: Record<string, unknown>;
}

export function historyOptions({ limit, before, metadata }: HistoryQuery): HistoryOptions {
  const config = before !== undefined && 'configurable' in before ? before['configurable'] : before;
  return {
    limit,
    ...(config === undefined
      ? {}
      : { before: { configurable: config as Record<string, unknown> } }),
    ...(metadata === undefined ? {} : { filter: metadata }),
  };
}
