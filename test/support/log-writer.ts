/** A run's log writer as a worker has it. */
import type { LogOwner } from '../../src/events/backend.ts';
import { createLogWriter } from '../../src/events/writer.ts';
import type { LogWriter, LogWriterDeps } from '../../src/events/writer.ts';
import type { TestApp } from './app.ts';

/** @param other what is not to be the app's */
export function openLogWriter(
  { core }: Pick<TestApp, 'core'>,
  owner: LogOwner,
  other: Partial<LogWriterDeps> = {},
): LogWriter {
  return createLogWriter(
    {
      db: core.pool,
      redis: core.redisLog,
      direct: core.directLog,
      onFenced: () => undefined,
      onCancelled: () => undefined,
      onTrouble: () => undefined,
      ...other,
    },
    owner,
  );
}
