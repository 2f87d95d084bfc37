/**
 * What a piece of work cost: CPU time by process, memory, and how much of the machine others took meanwhile. The
 * last says what the figures are worth: nobody reads a load average as well as this.
 */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { nowUs } from './clock.mjs';

const CLOCK_TICKS = 100;
/** More of the machine than this for others: the row is marked as disturbed. */
export const OTHERS_MAX = 0.1;
/** In less time than this the ticks of the clock are too coarse to tell. */
const OTHERS_S_MIN = 0.5;

/** CPU seconds that all processes of the machine have used; undefined where there is no /proc. */
function machineSeconds() {
  try {
    const [, user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8')
      .split('\n', 1)[0]
      .split(/\s+/)
      .map(Number);
    // Steal is what the hypervisor gave to others: it is lost to us just the same.
    return (user + nice + system + irq + softirq + steal) / CLOCK_TICKS;
  } catch {
    return undefined;
  }
}

/** A book of pieces of work: the rounds of one row add up under its id. */
export function createBook(read) {
  const notes = new Map();
  return {
    /** @returns {units, us: {process: µs}, others: share of the machine, memory: {process: bytes}} */
    of: (id) => notes.get(id),
    /**
     * @param read () → {cpu: {process: CPU seconds}, all: CPU seconds of all that is ours, memory: {process: bytes}}
     * @returns what `work` returns
     */
    async account(id, units, work) {
      const before = read();
      const machineBefore = machineSeconds();
      const startUs = nowUs();
      const result = await work();
      const elapsedS = (nowUs() - startUs) / 1e6;
      const machineAfter = machineSeconds();
      const after = read();
      if (before.cpu.load === undefined) return result;
      const known = notes.get(id) ?? { units: 0, us: {}, foreignS: 0, elapsedS: 0, memory: {} };
      const us = Object.keys(before.cpu).map((name) => [
        name,
        (known.us[name] ?? 0) + (after.cpu[name] - before.cpu[name]) * 1e6,
      ]);
      const foreignS =
        known.foreignS + Math.max(0, machineAfter - machineBefore - (after.all - before.all));
      const memory = Object.entries(after.memory).map(([name, bytes]) => [
        name,
        Math.max(known.memory[name] ?? 0, bytes),
      ]);
      const note = {
        units: known.units + units,
        us: Object.fromEntries(us),
        foreignS,
        elapsedS: known.elapsedS + elapsedS,
        memory: Object.fromEntries(memory),
      };
      if (note.elapsedS >= OTHERS_S_MIN)
        note.others = note.foreignS / (note.elapsedS * cpus().length);
      notes.set(id, note);
      return result;
    },
  };
}

/** µs a unit of all but the load generator, which is not what is measured. */
export const cpuSum = ({ units, us }) =>
  Object.entries(us).reduce((sum, [name, n]) => (name === 'load' ? sum : sum + n), 0) / units;
