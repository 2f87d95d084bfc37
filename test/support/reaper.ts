/**
 * Nothing that a test starts outlives it. Every process and temporary folder is announced to a small
 * process of its own, which ends them when this one is gone (see reaper-process.mjs). It lives as
 * long as something is announced.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { isAlive } from './process-family.ts';

let reaper: ChildProcess | undefined;
let parentWatch: NodeJS.Timeout | undefined;
const announced = new Set<string>();

/**
 * @param pid leader of its own process group (spawned with `detached: true`)
 * @param signal what ends it in good order; SIGKILL follows
 */
export function reapProcess(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  announce(`pid ${pid}`, `pid\t${pid}\t${signal}`);
}

/** To be called when the process has ended: its pid may be given to others. */
export function forgetProcess(pid: number): void {
  withdraw(`pid ${pid}`, `forget\t${pid}`);
}

/** A new folder below the system's temporary one, removed with {@link removeTempFolder} or at the end. */
export function createTempFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `millrace-${name}-`));
  announce(folder, `folder\t${folder}`);
  return folder;
}

export function removeTempFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  withdraw(folder, `forget-folder\t${folder}`);
}

function announce(key: string, line: string): void {
  reaper ??= startReaper();
  announced.add(key);
  reaper.stdin?.write(`${line}\n`);
}

function withdraw(key: string, line: string): void {
  if (!announced.delete(key) || reaper === undefined) return;
  reaper.stdin?.write(`${line}\n`);
  if (announced.size > 0) return;
  reaper.stdin?.end();
  reaper = undefined;
  clearInterval(parentWatch);
}

function startReaper(): ChildProcess {
  const file = fileURLToPath(new URL('./reaper-process.mjs', import.meta.url));
  const child = spawn(process.execPath, [file], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.unref();
  // The pipe must not keep this process alive either: it is the one that watches, not the watched.
  const stdin = child.stdin as Writable & { unref(): void };
  stdin.unref();
  stdin.on('error', () => undefined);
  parentWatch = endWithJest();
  return child;
}

/** A worker whose Jest was killed would go on to the end of its file, with all its servers. */
function endWithJest(): NodeJS.Timeout | undefined {
  // From global-setup.mjs. Not process.ppid: Jest gives its tests a copy of `process` that goes stale.
  const jest = Number(process.env['TEST_JEST_PID']);
  if (!(jest > 0) || jest === process.pid) return undefined;
  return setInterval(() => {
    if (!isAlive(jest)) process.kill(process.pid, 'SIGKILL');
  }, 500).unref();
}
