/** The shared Redis of a jest run, and private servers for the tests that break one or need settings. */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { freePort } from '../../src/lib/free-port.ts';
import { isAlive, signal } from './process-family.ts';
import { findProgram, onPath } from './programs.ts';
import { createTempFolder, forgetProcess, reapProcess, removeTempFolder } from './reaper.ts';
import { waitUntil } from './wait-until.ts';

/** Shared by all test files of the run: use a key prefix of your own and never FLUSHALL. */
export function testRedisUrl(): string {
  const url = process.env['TEST_REDIS_URL'];
  if (url === undefined)
    throw new Error('TEST_REDIS_URL is not set: is global-setup.mjs missing in jest.config.mjs?');
  return url;
}

export interface RedisOptions {
  /** Default no: a restart comes back empty. */
  appendonly?: boolean;
  appendfsync?: 'always' | 'everysec' | 'no';
  /** Default noeviction. */
  maxmemoryPolicy?: string;
  /** E.g. `64mb`. Default: no limit. */
  maxmemory?: string;
  /** Any other setting, as in redis.conf. */
  settings?: Record<string, string>;
}

export interface TestRedis {
  /** Stays the same over `restart`. */
  readonly url: string;
  readonly port: number;
  /** SIGKILL: what was not on disk is gone. */
  kill(): Promise<void>;
  /** Starts it again, after `kill` or in place of a clean stop. */
  restart(): Promise<void>;
  /** SIGSTOP: connections stay open, nothing answers. */
  pause(): void;
  resume(): void;
  /** One command outside of any client library. @returns the first line of the reply */
  command(...words: string[]): Promise<string>;
  flushall(): Promise<void>;
  /** Ends it and removes its data. Idempotent. */
  stop(): Promise<void>;
}

/** @throws when no server binary is there and none can be installed, or when it does not start */
export async function startRedis(options: RedisOptions = {}): Promise<TestRedis> {
  const binary = redisBinary();
  const folder = createTempFolder('redis');
  const port = await freePort();
  const settings: Record<string, string> = {
    port: String(port),
    bind: '127.0.0.1',
    dir: folder,
    save: '',
    appendonly: options.appendonly === true ? 'yes' : 'no',
    appendfsync: options.appendfsync ?? 'everysec',
    'maxmemory-policy': options.maxmemoryPolicy ?? 'noeviction',
    ...(options.maxmemory === undefined ? {} : { maxmemory: options.maxmemory }),
    ...options.settings,
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  let pid = 0;

  const start = async (): Promise<void> => {
    const logFile = join(folder, 'redis.log');
    const log = openSync(logFile, 'a');
    const child = spawn(binary, args, { detached: true, stdio: ['ignore', log, log] });
    closeSync(log);
    child.unref();
    child.on('error', () => undefined); // ENOENT: no pid, reported below
    if (child.pid === undefined) throw new Error(`cannot execute ${binary}`);
    pid = child.pid;
    reapProcess(pid, 'SIGTERM');
    const ready = async (): Promise<boolean> => {
      if (child.exitCode !== null) return true;
      return (await command(port, ['PING'])) === '+PONG';
    };
    await waitUntil(ready, { timeoutMs: 30_000, what: 'Redis to answer PING' });
    if (child.exitCode !== null) {
      forgetProcess(pid);
      throw new Error(`${binary} did not start: ${readFileSync(logFile, 'utf8').slice(-1_000)}`);
    }
  };
  const end = async (name: NodeJS.Signals): Promise<void> => {
    signal(pid, name);
    await waitUntil(() => !isAlive(pid), { timeoutMs: 30_000, what: 'Redis to be gone' });
    forgetProcess(pid);
  };

  await start();
  let stopped: Promise<void> | undefined;
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    kill: () => end('SIGKILL'),
    restart: async () => {
      if (isAlive(pid)) await end('SIGTERM');
      await start();
    },
    pause: () => signal(pid, 'SIGSTOP'),
    resume: () => signal(pid, 'SIGCONT'),
    command: (...words) => command(port, words),
    flushall: async () => {
      await command(port, ['FLUSHALL']);
    },
    stop: () =>
      (stopped ??= (async () => {
        signal(pid, 'SIGCONT');
        if (isAlive(pid)) await end('SIGTERM');
        removeTempFolder(folder);
      })()),
  };
}

/** One command over a connection of its own, in the inline-free wire format. */
export function command(port: number, words: string[]): Promise<string> {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return new Promise((resolve, reject) => {
    const socket = createConnection({ port, host: '127.0.0.1', timeout: 20_000 });
    let reply = '';
    socket.once('connect', () => socket.write(`*${words.length}\r\n${parts.join('')}`));
    socket.on('data', (chunk) => {
      reply += chunk.toString();
      if (!reply.includes('\r\n')) return;
      socket.destroy();
      const line = reply.slice(0, reply.indexOf('\r\n'));
      if (line.startsWith('-')) reject(new Error(`${words.join(' ')}: ${line.slice(1)}`));
      else resolve(line);
    });
    socket.once('timeout', () => socket.destroy(new Error('Redis does not answer')));
    socket.once('error', reject);
    socket.once('close', () => {
      reject(new Error('Redis closed the connection'));
    });
  });
}

/** redis-server or valkey-server on PATH; as root on Debian it is installed when missing. */
export function redisBinary(): string {
  const found =
    onPath('redis-server') ??
    onPath('valkey-server') ??
    findProgram('redis-server', 'redis-server');
  if (found !== undefined) return found;
  throw new Error(
    'these tests need a Redis: install redis-server or valkey-server, or set TEST_REDIS_URL',
  );
}
