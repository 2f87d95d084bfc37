/** What every route gets: the server's dependencies and what the server itself keeps. */
import type { TermAttempts } from './attempts.ts';
import type { Deployment } from './deployment.ts';
import type { ServerDeps } from './deps.ts';
import type { KnownAssistants } from './known-assistants.ts';
import type { OpenResponses } from './open-responses.ts';
import type { PostgresGuard } from './postgres-guard.ts';
import type { UiBundles } from './ui-bundles.ts';
import type { IdSuffixes } from './v2/event-ids.ts';

export interface RouteContext extends ServerDeps {
  readonly guard: PostgresGuard;
  readonly deployment: Deployment;
  readonly attempts: TermAttempts;
  readonly assistants: KnownAssistants;
  readonly suffixes: IdSuffixes;
  readonly open: OpenResponses;
  readonly bundles: UiBundles;
}
