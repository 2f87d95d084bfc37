/** What a data directory's postmaster.pid says, and whether that process is still that server. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Postmaster {
  pid: number;
  /** False: the pid is nobody's, a zombie's, or was given to some other program since. */
  alive: boolean;
  port: number;
  /** As Postgres writes it: `starting`, `ready`, `stopping`, `standby`; empty very early. */
  status: string;
}

/** @returns undefined when there is no pid file, which is also how a clean stop ends */
export function readPostmaster(data: string): Postmaster | undefined {
  let text: string;
  try {
    text = readFileSync(join(data, 'postmaster.pid'), 'utf8');
  } catch {
    return undefined;
  }
  // Lines: pid, data directory, start time, port, socket directory, address, shared memory, status.
  const lines = text.split('\n').map((line) => line.trim());
  const pid = Number(lines[0]);
  return {
    pid,
    alive: isPostgres(pid),
    port: Number(lines[3]),
    status: lines[7] ?? '',
  };
}

/** True when `file` names a living process other than this one. */
export function ownerAlive(file: string): boolean {
  if (!existsSync(file)) return false;
  const pid = Number(readFileSync(file, 'utf8'));
  return pid !== process.pid && programOf(pid) !== '';
}

/** Containers start with the same pids again and again: a living pid alone says nothing. */
export function isPostgres(pid: number): boolean {
  // The program only: `postgres` among the arguments is anybody's.
  return /(^|\/)postgres$/.test(programOf(pid));
}

/** What a living process executes, as it was called; empty for none and for zombies. */
function programOf(pid: number): string {
  if (!Number.isSafeInteger(pid) || pid <= 0) return '';
  try {
    if (existsSync('/proc/self/cmdline'))
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0] ?? '';
    return execFileSync('ps', ['-o', 'comm=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}
