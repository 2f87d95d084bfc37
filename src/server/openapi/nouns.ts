/** All rows of the API's document, in its order. A new noun is a file and a line here. */
import { assistants } from './assistants.ts';
import { consumerGroups } from './consumer-groups.ts';
import { crons, webhooks } from './crons.ts';
import type { Noun } from './operation.ts';
import { protocol } from './protocol.ts';
import { runs } from './runs.ts';
import { store } from './store.ts';
import { system } from './system.ts';
import { threads } from './threads.ts';
import { workflows } from './workflows.ts';

export const NOUNS: readonly Noun[] = [
  assistants,
  threads,
  runs,
  protocol,
  crons,
  workflows,
  store,
  webhooks,
  consumerGroups,
  system,
];
