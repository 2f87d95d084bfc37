/** Signals to a process and to all it started, also those that left its process group (Postgres' sessions do). */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';

/** `pid` first, then its descendants, parents before children. */
export function familyOf(pid: number): number[] {
  const parents = parentOfAll();
  const family = [pid];
  for (const member of family)
    for (const [child, parent] of parents) if (parent === member) family.push(child);
  return family;
}

export function isAlive(pid: number): boolean {
  if (!signal(pid, 0)) return false;
  try {
    // Killed, but its parent did not ask for its end yet: dead all the same.
    return statOf(pid)[0] !== 'Z';
  } catch {
    return signal(pid, 0); // no /proc, or gone just now
  }
}

/** @returns false when there is no such process */
export function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

function parentOfAll(): Map<number, number> {
  if (!existsSync('/proc/self/stat')) {
    const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).split('\n');
    return new Map(lines.map((line) => line.trim().split(/\s+/).map(Number) as [number, number]));
  }
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      parents.set(Number(name), Number(statOf(Number(name))[1]));
    } catch {
      // ended in between
    }
  }
  return parents;
}

/** [state, parent's pid, …]. @throws when there is no such process or no /proc */
function statOf(pid: number): string[] {
  // `pid (name) state ppid …`; the name may hold spaces and brackets.
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}
