/** What nodes work with, the same for all executions of a process. */
import type { Models } from '../models/model.ts';
import type { Log } from '../telemetry/log.ts';
import type { AddressGuard } from '../webhooks/addresses.ts';
import type { Mailer } from './mail.ts';
import type { Secrets } from './secrets.ts';

export interface NodeDeps {
  readonly models: Models;
  /** Where HTTP nodes may go. */
  readonly guard: AddressGuard;
  readonly mailer: Mailer;
  readonly secrets: Secrets;
  /** How long a question waits for its answer unless the node says otherwise, ms. */
  readonly askTimeoutMs: number;
  readonly log: Log;
}
