/**
 * A machine whose clock is wrong: loaded with `--import`, shifts what Date says by the number of milliseconds
 * in the file CLOCK_SHIFT_FILE, from the moment on that it is written there. Of several numbers each process takes
 * the one that its pid falls on. Timers are not affected, as on a machine whose clock is set.
 */
import { readFileSync } from 'node:fs';

const RealDate = Date;
let shiftMs = 0;
setInterval(() => {
  try {
    const shifts = readFileSync(process.env.CLOCK_SHIFT_FILE, 'utf8').trim().split(/\s+/);
    shiftMs = Number(shifts[process.pid % shifts.length]);
  } catch {
    // not yet
  }
}, 20).unref();

const now = () => RealDate.now() + shiftMs;
globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, self) =>
    Reflect.construct(target, args.length === 0 ? [now()] : args, self),
  apply: () => new RealDate(now()).toString(),
  get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
});
