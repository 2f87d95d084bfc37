/**
 * Millrace as its users run it: `node dist/main.js serve|worker …` in processes of their own, which can
 * be killed, frozen and read. None of them outlives the test process (reaper.ts).
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { forgetProcess, reapProcess, createTempFolder, removeTempFolder } from './reaper.ts';
import { familyOf, signal } from './process-family.ts';
import { waitUntil } from './wait-until.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MAIN = join(ROOT, 'dist/main.js');
const OUTPUT_TAIL_CHARS = 3_000;
export const tailOf = (output: string): string => output.slice(-OUTPUT_TAIL_CHARS);

export interface ProcessOptions {
  /** Added to PATH, HOME and TMPDIR: nothing else of this process' environment is inherited. */
  env?: Record<string, string>;
  cwd?: string;
  /** Ready when the output matches this … */
  readyLine?: RegExp;
  /** … and this URL answers 2xx, when given. */
  readyUrl?: string;
  /** Default 60,000: several start at once, on a machine that may be busy. */
  readyTimeoutMs?: number;
}

export interface TestProcess {
  readonly pid: number;
  /** Null while it runs; signal name or exit code once it ended. */
  readonly ended: number | NodeJS.Signals | null;
  /** Everything it wrote so far, stdout and stderr in order. */
  output(): string;
  /** @returns the match; waits for it */
  waitForOutput(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  /** SIGKILL to it and to all it started. */
  kill(): Promise<void>;
  /** SIGTERM, then waits for its end (default 40,000 ms, then SIGKILL and an error). @returns exit code or signal */
  stop(timeoutMs?: number): Promise<number | NodeJS.Signals>;
  /** SIGSTOP and SIGCONT: a long pause, as of a virtual machine. */
  freeze(): void;
  thaw(): void;
  /** Waits until it ended by itself. */
  waitForEnd(timeoutMs?: number): Promise<number | NodeJS.Signals>;
}

/** `node dist/main.js <args>`, once it is ready. @throws with its output when it ends or is late */
export async function startMillrace(
  args: string[],
  options: ProcessOptions = {},
): Promise<TestProcess> {
  if (!existsSync(MAIN)) throw new Error('dist/main.js is missing: npm run build');
  return await startProcess(process.execPath, ['--enable-source-maps', MAIN, ...args], options);
}

/** Any program, in a process group of its own. */
export async function startProcess(
  file: string,
  args: string[],
  options: ProcessOptions = {},
): Promise<TestProcess> {
  const folder = createTempFolder('process');
  const logFile = join(folder, 'output.log');
  const log = openSync(logFile, 'a');
  const child = spawn(file, args, {
    cwd: options.cwd ?? ROOT,
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...baseEnvironment(), ...options.env },
  });
  closeSync(log);
  child.unref();
  child.on('error', () => undefined); // ENOENT: no pid, reported below
  if (child.pid === undefined) {
    removeTempFolder(folder);
    throw new Error(`cannot execute ${file}`);
  }
  reapProcess(child.pid);
  const started = processHandle(child, child.pid, folder, logFile);
  try {
    await waitUntil(() => isReady(started, options), {
      timeoutMs: options.readyTimeoutMs ?? 60_000,
      what: `${args.join(' ')} to be ready`,
    });
    if (started.ended !== null && !wasReady(started, options))
      throw new Error(`${args.join(' ')} ended with ${started.ended} before it was ready`);
  } catch (cause) {
    const output = started.output();
    await started.kill();
    throw new Error(`${args.join(' ')} did not start:\n${tailOf(output)}`, {
      cause,
    });
  }
  return started;
}

/** Of one that has ended: who says so may have been killed, or have killed itself, right after. */
const wasReady = (started: TestProcess, { readyLine, readyUrl }: ProcessOptions): boolean =>
  readyUrl === undefined && readyLine?.test(started.output()) !== false;

async function isReady(started: TestProcess, options: ProcessOptions): Promise<boolean> {
  if (started.ended !== null) return true;
  if (options.readyLine?.test(started.output()) === false) return false;
  if (options.readyUrl === undefined) return true;
  const response = await fetch(options.readyUrl, { signal: AbortSignal.timeout(2_000) });
  await response.body?.cancel();
  return response.ok;
}

function processHandle(
  child: ChildProcess,
  pid: number,
  folder: string,
  logFile: string,
): TestProcess {
  let lastOutput = '';
  const ended = (): number | NodeJS.Signals | null => child.exitCode ?? child.signalCode;
  child.once('exit', () => {
    lastOutput = readFileSync(logFile, 'utf8');
    forgetProcess(pid);
    removeTempFolder(folder);
  });
  const output = (): string => (existsSync(logFile) ? readFileSync(logFile, 'utf8') : lastOutput);
  const waitForEnd = async (timeoutMs = 40_000): Promise<number | NodeJS.Signals> => {
    await waitUntil(() => ended() !== null, { timeoutMs, what: `process ${pid} to end` });
    return ended() ?? 0;
  };
  // Once it ended, its pid may be somebody else's.
  const send = (name: NodeJS.Signals, pids: number[]): void => {
    if (ended() === null) for (const member of pids) signal(member, name);
  };
  const kill = async (): Promise<void> => {
    send('SIGKILL', familyOf(pid));
    await waitForEnd();
  };
  return {
    pid,
    get ended() {
      return ended();
    },
    output,
    waitForOutput: (pattern, timeoutMs = 40_000) =>
      waitUntil(() => pattern.exec(output()), {
        timeoutMs,
        what: `${String(pattern)} in the output of ${pid}`,
      }),
    kill,
    stop: async (timeoutMs = 40_000) => {
      send('SIGTERM', [pid]);
      try {
        return await waitForEnd(timeoutMs);
      } catch (cause) {
        await kill();
        throw new Error(`process ${pid} ignored SIGTERM:\n${tailOf(output())}`, {
          cause,
        });
      }
    },
    freeze: () => {
      send('SIGSTOP', familyOf(pid));
    },
    thaw: () => {
      send('SIGCONT', familyOf(pid));
    },
    waitForEnd,
  };
}

function baseEnvironment(): Record<string, string> {
  const names = ['PATH', 'HOME', 'TMPDIR', 'LD_LIBRARY_PATH', 'NODE_EXTRA_CA_CERTS'];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
