/** All cases, in the order they are measured. A new row is a new file, and a line here. */
import { archiver } from './cases/archiver.mjs';
import { background } from './cases/background.mjs';
import { createWait, waitsParallel } from './cases/create-wait.mjs';
import { fanOut } from './cases/fan-out.mjs';
import { idleClient } from './cases/idle-client.mjs';
import { kill } from './cases/kill.mjs';
import { limits } from './cases/limits.mjs';
import { manyRuns } from './cases/many-runs.mjs';
import { mirror } from './cases/mirror.mjs';
import { oneRun, oneRunLatency } from './cases/one-run.mjs';
import { reconnect, replay } from './cases/replay.mjs';
import { trips } from './cases/trips.mjs';

/**
 * name; paths: 'redis' and 'direct'; raw: the processes of raw/ that it asks; quickDirect: in --quick also on the
 * direct path; run(bench): measures and calls bench.row({id, title, unit, value, baseline?, cpu?, note?, detail?}).
 */
export const CASES = [
  limits,
  createWait,
  waitsParallel,
  background,
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
  kill,
];
