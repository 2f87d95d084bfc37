/** Another process' core on the same database, as far as one test process can have two. */
import { createCore } from '../../src/app.ts';
import type { Core } from '../../src/app.ts';
import type { TestApp } from './app.ts';

/** Not started: the test says when. */
export async function createCoreBeside({ core }: TestApp): Promise<Core> {
  return createCore({ ...core.config, WORKER_ID: `${core.config.WORKER_ID}-beside` }, core.log, {
    graphs: { test: undefined },
  });
}
