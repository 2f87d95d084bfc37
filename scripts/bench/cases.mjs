/** All cases, in the order they are measured. A new row is a new file, and a line here. */
import { archiver } from './cases/archiver.mjs';
import { background, backgroundPregel } from './cases/background.mjs';
import { createWait, createWaitPregel, waitsParallel, waitsPregel } from './cases/create-wait.mjs';
import { fanOut } from './cases/fan-out.mjs';
import { idleClient } from './cases/idle-client.mjs';
import { kill, killDirect } from './cases/kill.mjs';
import { limits } from './cases/limits.mjs';
import { manyRuns } from './cases/many-runs.mjs';
import { mirror } from './cases/mirror.mjs';
import { oneRun, oneRunLatency } from './cases/one-run.mjs';
import { reconnect, replay } from './cases/replay.mjs';
import { resources } from './cases/resources.mjs';
import { superstep } from './cases/superstep.mjs';
import { trips } from './cases/trips.mjs';
import { growthClients } from './growth/clients.mjs';
import { growthEvents } from './growth/events.mjs';
import { growthThreads } from './growth/threads.mjs';
import { growthWorkers } from './growth/workers.mjs';

/**
 * name; paths: 'redis' and 'direct'; raw: the processes of raw/ that it asks; quickDirect: in --quick also on the
 * direct path; long: not in --quick; run(bench): measures and calls bench.row({id, title, unit, value, baseline?, cpu?, during?, note?,
 * detail?}).
 */
export const CASES = [
  limits,
  createWait,
  createWaitPregel,
  waitsParallel,
  waitsPregel,
  background,
  backgroundPregel,
  oneRun,
  oneRunLatency,
  manyRuns,
  fanOut,
  replay,
  reconnect,
  archiver,
  mirror,
  idleClient,
  trips,
  resources,
  superstep,
  kill,
  killDirect,
];

/** Series: must cost the same at every size. */
export const GROWTH = [growthEvents, growthThreads, growthClients, growthWorkers];
