/** Child processes: started, asked, accounted, and always ended. */
import { fork, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

const START_MS_MAX = 60_000;
const STOP_MS_MAX = 15_000;
const CLOCK_TICKS = 100;

/** Ends what is named on its standard input when the bench dies without having ended it itself. */
const GUARD = `
const pids = new Set();
let text = '';
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
process.stdin.on('data', (chunk) => {
  text += chunk;
  const lines = text.split('\\n');
  text = lines.pop();
  for (const line of lines) line[0] === '+' ? pids.add(+line.slice(1)) : pids.delete(+line.slice(1));
}).on('end', () => {
  // SIGINT is a fast shutdown for a postmaster; a Millrace process takes a second one for "at once".
  for (const signal of ['SIGCONT', 'SIGINT']) for (const pid of pids) try { process.kill(pid, signal); } catch { pids.delete(pid); }
  setTimeout(() => { for (const pid of pids) try { process.kill(pid, 'SIGKILL'); } catch {} process.exit(); }, pids.size ? 5000 : 0);
});`;

export function createProcesses() {
  const children = new Set();
  const guard = spawn(process.execPath, ['-e', GUARD], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guard.stdin.on('error', () => undefined);
  guard.unref();

  const watch = (pid) => void guard.stdin.write(`+${pid}\n`);
  const forget = (pid) => void guard.stdin.write(`-${pid}\n`);

  function track(child, name, log) {
    const entry = {
      name,
      log,
      pid: child.pid,
      child,
      alive: () => child.exitCode === null && child.signalCode === null,
      kill: (signal) => child.kill(signal),
      exited: once(child, 'exit').then(() => {
        children.delete(entry);
        forget(child.pid);
      }),
      async stop() {
        if (entry.alive()) child.kill('SIGCONT');
        if (entry.alive()) child.kill('SIGTERM');
        const limit = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
        await entry.exited;
        clearTimeout(limit);
      },
    };
    children.add(entry);
    watch(child.pid);
    return entry;
  }

  return {
    watch,
    forget,
    /** @param ready settles when `log` contains this text */
    async start(name, command, args, { env, log, cwd, ready }) {
      const out = openSync(log, 'w');
      // A group of its own: Ctrl-C reaches the bench, which ends everything in order.
      const child = spawn(command, args, {
        cwd,
        env,
        stdio: ['ignore', out, out],
        detached: true,
      });
      closeSync(out);
      await once(child, 'spawn');
      const entry = track(child, name, log);
      const until = Date.now() + START_MS_MAX;
      while (!readFileSync(log, 'utf8').includes(ready)) {
        if (!entry.alive()) throw new Error(`${name} ended: ${tail(log)}`);
        if (Date.now() > until) throw new Error(`${name} is not ready: ${tail(log)}`);
        await delay(20);
      }
      return entry;
    },
    /** A raw/*.mjs process: answers each message with {id, result} or {id, error}. */
    async fork(name, file, env) {
      const child = fork(file, [], { env: { ...process.env, ...env }, detached: true });
      const entry = track(child, name, undefined);
      const asked = new Map();
      let lastId = 0;
      const [hello] = await Promise.race([
        once(child, 'message'),
        entry.exited.then(() => {
          throw new Error(`${name} ended before it was ready`);
        }),
      ]);
      child.on('message', ({ id, result, error }) => {
        const waiting = asked.get(id);
        asked.delete(id);
        if (error === undefined) waiting?.resolve(result);
        else waiting?.reject(new Error(`${name}: ${error}`));
      });
      child.on('exit', () => {
        for (const { reject } of asked.values()) reject(new Error(`${name} ended`));
      });
      return Object.assign(entry, {
        hello: hello.hello,
        ask: (message) =>
          new Promise((resolve, reject) => {
            const id = ++lastId;
            asked.set(id, { resolve, reject });
            child.send({ id, ...message });
          }),
      });
    },
    async stopAll() {
      // Redis last: nobody should see it go.
      const all = [...children];
      const isRedis = ({ name }) => name === 'redis';
      await Promise.all(all.filter((child) => !isRedis(child)).map((child) => child.stop()));
      await Promise.all(all.filter(isRedis).map((child) => child.stop()));
      guard.stdin.end();
    },
  };
}

export const tail = (log) => readFileSync(log, 'utf8').slice(-1_500);

/** CPU seconds that a process, and its ended children, have used; undefined where there is no /proc. */
export function cpuSeconds(pid) {
  const fields = statOf(pid);
  if (fields === undefined) return undefined;
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / CLOCK_TICKS;
}

/** The same for a postmaster and all its processes. */
export function cpuSecondsOfFamily(pid) {
  const own = cpuSeconds(pid);
  if (own === undefined) return undefined;
  return childrenOf(pid).reduce((sum, child) => sum + (cpuSeconds(child) ?? 0), own);
}

const childrenOf = (pid) =>
  readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(statOf(name)?.[1]) === pid);

/** Fields of /proc/pid/stat from `state` on: the name before it may contain anything. */
function statOf(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** Resident memory in bytes; undefined where there is no /proc. */
export function residentBytes(pid) {
  try {
    const kib = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kib === undefined ? undefined : Number(kib) * 1_024;
  } catch {
    return undefined;
  }
}

/** The same for a postmaster and all its processes: each page they share counts in parts. */
export function residentBytesOfFamily(pid) {
  const of = (one) => {
    try {
      const text = readFileSync(`/proc/${one}/smaps_rollup`, 'utf8');
      return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1_024;
    } catch {
      return 0; // ended meanwhile, or not ours to read
    }
  };
  try {
    return childrenOf(pid).reduce((sum, child) => sum + of(child), of(pid));
  } catch {
    return undefined;
  }
}
