/**
 * Ends what a test process started, when that process is gone: also by SIGKILL, when nothing of its
 * own can run any more. It notices by the end of its standard input, whose other end the test process holds.
 *
 * Lines: `pid <n> <signal>`, `forget <n>`, `folder <path>`, `forget-folder <path>`.
 */
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';

/** pid of a group's leader → the signal that ends it in good order */
const groups = new Map();
const folders = new Set();

/** Time for a server to end in good order before SIGKILL. */
const END_MS_MAX = 3_000;

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, subject, signal] = line.split('\t');
  if (verb === 'pid') groups.set(Number(subject), signal);
  else if (verb === 'forget') groups.delete(Number(subject));
  else if (verb === 'folder') folders.add(subject);
  else if (verb === 'forget-folder') folders.delete(subject);
}
// A Postgres in one of the folders may have outlived the process that started it: groups of their own.
for (const folder of folders)
  for (const pid of postmastersIn(folder)) if (!groups.has(pid)) groups.set(pid, 'SIGQUIT');
for (const [pid, signal] of groups) kill(pid, signal);
const deadline = Date.now() + END_MS_MAX;
while ([...groups.keys()].some(isAlive) && Date.now() < deadline) await pause(20);
for (const pid of groups.keys()) kill(pid, 'SIGKILL');
for (const folder of folders)
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });

function kill(pid, signal) {
  try {
    process.kill(-pid, signal);
    return true;
  } catch {
    return false;
  }
}

function isAlive(pid) {
  if (!kill(pid, 0)) return false;
  try {
    // `pid (name) state …`. A zombie is dead; some init processes are slow to bury them.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return kill(pid, 0); // no /proc, or gone just now
  }
}

function postmastersIn(folder) {
  try {
    return readdirSync(folder, { recursive: true })
      .filter((path) => path.endsWith('postmaster.pid'))
      .map((path) => Number(readFileSync(join(folder, path), 'utf8').split('\n')[0]))
      .filter((pid) => pid > 1 && isPostgres(pid));
  } catch {
    return []; // gone, or changing under the walk
  }
}

/** A stale file may name a pid that is somebody else's by now. */
function isPostgres(pid) {
  try {
    return /(^|\/)postgres$/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0]);
  } catch {
    return !existsSync('/proc/self');
  }
}
