/**
 * A real Postgres from npm, for users who have none: `millrace dev`, the demo, the tests.
 *
 * Why not the package's own class: it registers process-exit hooks in the host, pipes the server's
 * log through it, and cannot attach to a server that outlived its starter. Only its binaries are used.
 *
 * The server is a process group of its own, so neither Ctrl-C nor a SIGKILL of this process takes it
 * down half-way; the next start finds it through postmaster.pid and goes on with it.
 *
 *   no data ──initdb into data.<random>, rename──▶ data
 *   postmaster.pid of a living postgres ──▶ wait until ready, attach
 *   postmaster.pid of nobody ──▶ remove, start
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../lib/free-port.ts';
import { postgresBinaries, type Binaries } from './embedded-binaries.ts';
import { isPostgres, ownerAlive, readPostmaster, type Postmaster } from './embedded-postmaster.ts';
import {
  EmbeddedPostgresError,
  reachableHome,
  serverUser,
  type SystemUser,
} from './embedded-user.ts';

/** Crash recovery of a large database takes its time; a start that needs longer is reported. */
const START_MS_MAX = 60_000;
/** A fast shutdown waits for nobody but writes a checkpoint. After this the server is ended at once. */
const STOP_MS_MAX = 20_000;
/** Starts tried when the server exits early: the port was taken, or children of a killed one linger. */
const START_ATTEMPTS_MAX = 5;
const POLL_MS = 20;
const LOG_TAIL_CHARS = 1_500;
/** Pid of the process whose `stop` counts. */
const OWNER_FILE = 'millrace.owner';
const DATABASE_USER = 'millrace';

export interface EmbeddedPostgresOptions {
  /** Belongs to this server alone; created when missing. As root it is given to the user `postgres`. */
  folder: string;
  /** Default: a free one, another at each start. */
  port?: number;
  /** false: a power cut may destroy the data. For tests. Default true. */
  fsync?: boolean;
  /** More server settings, e.g. `{ max_connections: '300' }`. Ignored when a running server is attached. */
  settings?: Readonly<Record<string, string>>;
}

export interface EmbeddedPostgres {
  /** With password; database `postgres`, superuser. */
  readonly url: string;
  readonly port: number;
  /** The postmaster. */
  readonly pid: number;
  /** True when the server was running already. */
  readonly attached: boolean;
  /** Ends the server, unless another living process of ours started it. Idempotent. */
  stop(): Promise<void>;
}

interface Place {
  home: string;
  data: string;
  log: string;
  user: SystemUser | undefined;
  binaries: Binaries;
}

/** @throws {EmbeddedPostgresError} with the end of the server's log when it has one */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const place = prepare(resolve(options.folder));
  if (!existsSync(place.data)) await initialise(place, options.fsync ?? true);

  const deadline = Date.now() + START_MS_MAX;
  for (let attempt = 1; ; attempt++) {
    const running = await findRunning(place.data, deadline);
    if (running !== undefined) {
      if (options.port === undefined || options.port === running.port)
        return handle(place, running, true);
      if (ownerAlive(join(place.data, OWNER_FILE)))
        throw new EmbeddedPostgresError(
          `another process uses the Postgres in ${place.home} on port ${running.port}: ` +
            `stop it, or do not ask for port ${options.port}`,
        );
      await stopPostmaster(place.data);
    }
    const started = await launch(place, options, deadline);
    if (started !== undefined) return handle(place, started, false);
    if (attempt >= START_ATTEMPTS_MAX || Date.now() > deadline)
      throw new EmbeddedPostgresError(
        `embedded Postgres in ${place.home} did not start: ${logTail(place.log)}`,
      );
    await pause(200 * attempt);
  }
}

function prepare(folder: string): Place {
  const user = serverUser();
  const home = reachableHome(folder, user);
  mkdirSync(home, { recursive: true });
  if (user !== undefined) chownSync(home, user.uid, user.gid);
  return {
    home,
    data: join(home, 'data'),
    log: join(home, 'postgres.log'),
    user,
    binaries: postgresBinaries(user),
  };
}

/** A crash in the middle leaves no half database, and of two starters one wins: rename is the commit. */
async function initialise(place: Place, fsync: boolean): Promise<void> {
  const id = randomBytes(6).toString('hex');
  const fresh = `${place.data}.${id}`;
  const passwordFile = join(place.home, `password.${id}`);
  const password = randomBytes(18).toString('base64url');
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  if (place.user !== undefined) chownSync(passwordFile, place.user.uid, place.user.gid);
  try {
    const child = run(place, place.binaries.initdb, [
      ...['-D', fresh, '-U', DATABASE_USER, '--pwfile', passwordFile, '--auth=scram-sha-256'],
      ...['--encoding=UTF8', '--locale=C', '--locale-provider=builtin'],
      ...['--builtin-locale=C.UTF-8', ...(fsync ? [] : ['--no-sync'])],
    ]);
    const code = await exited(child);
    if (code !== 0)
      throw new EmbeddedPostgresError(`initdb in ${place.home} failed: ${logTail(place.log)}`);
    renameSync(passwordFile, join(fresh, 'millrace.password'));
    try {
      renameSync(fresh, place.data);
    } catch (error) {
      if (!existsSync(place.data)) throw error;
    }
  } finally {
    rmSync(passwordFile, { force: true });
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** The server that runs in `data`, once it is ready. Removes the pid file of a dead one. */
async function findRunning(data: string, deadline: number): Promise<Postmaster | undefined> {
  for (;;) {
    const found = readPostmaster(data);
    if (found === undefined) return undefined;
    if (!found.alive) {
      rmSync(join(data, 'postmaster.pid'), { force: true });
      return undefined;
    }
    if (found.status === 'ready') return found;
    if (Date.now() > deadline)
      throw new EmbeddedPostgresError(
        `a Postgres (pid ${found.pid}) holds ${data} and stays ${found.status}: stop it, or wait for it`,
      );
    await pause(POLL_MS);
  }
}

/** @returns undefined when the server exited before it was ready; its log says why */
async function launch(
  place: Place,
  options: EmbeddedPostgresOptions,
  deadline: number,
): Promise<Postmaster | undefined> {
  const port = options.port ?? (await freePort());
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...(options.fsync === false ? { fsync: 'off', full_page_writes: 'off' } : {}),
    ...options.settings,
  };
  if (existsSync(place.log)) renameSync(place.log, `${place.log}.1`);
  const child = run(place, place.binaries.postgres, [
    ...['-D', place.data],
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]);
  const end = exited(child);
  end.catch(() => undefined); // reported below, when the loop has noticed
  while (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
    const found = readPostmaster(place.data);
    const ready = found?.status === 'ready' ? found : undefined;
    if (ready?.pid === child.pid) {
      child.unref();
      return ready;
    }
    if (Date.now() > deadline) {
      child.kill('SIGQUIT');
      await end;
      return undefined;
    }
    await pause(POLL_MS);
  }
  await end;
  return undefined;
}

function run(place: Place, file: string, args: string[]): ChildProcess {
  const log = openSync(place.log, 'a', 0o600);
  try {
    const child = spawn(file, args, {
      cwd: place.home,
      // Its own session and no pipes to us: it must not depend on this process in any way.
      detached: true,
      stdio: ['ignore', log, log],
      env: { LC_ALL: 'C', TZ: 'UTC' },
      ...(place.user ?? {}),
    });
    return child;
  } finally {
    closeSync(log);
  }
}

function exited(child: ChildProcess): Promise<number> {
  return new Promise((done, fail) => {
    child.once('exit', (code) => {
      done(code ?? -1);
    });
    child.once('error', (cause) => {
      fail(new EmbeddedPostgresError(`cannot execute ${child.spawnfile}`, { cause }));
    });
  });
}

function handle(place: Place, postmaster: Postmaster, attached: boolean): EmbeddedPostgres {
  const password = readFileSync(join(place.data, 'millrace.password'), 'utf8').trim();
  const { pid, port } = postmaster;
  const ownerFile = join(place.data, OWNER_FILE);
  const borrowed = attached && ownerAlive(ownerFile);
  if (!borrowed) writeFileSync(ownerFile, String(process.pid));
  let stopping: Promise<void> | undefined;
  return {
    url: `postgres://${DATABASE_USER}:${password}@127.0.0.1:${port}/postgres`,
    port,
    pid,
    attached,
    stop: () => (stopping ??= borrowed ? Promise.resolve() : stopPostmaster(place.data)),
  };
}

async function stopPostmaster(data: string): Promise<void> {
  // Fast (SIGINT) ends sessions and writes a checkpoint; immediate (SIGQUIT) means recovery at the next start.
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    const found = readPostmaster(data);
    if (!found?.alive) return;
    try {
      process.kill(found.pid, signal);
    } catch {
      return; // gone in between
    }
    const deadline = Date.now() + STOP_MS_MAX;
    // The pid file goes a moment before the process.
    while (Date.now() < deadline) {
      if (!isPostgres(found.pid)) return;
      await pause(POLL_MS);
    }
  }
  throw new EmbeddedPostgresError(`embedded Postgres in ${data} does not stop`);
}

function logTail(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8').slice(-LOG_TAIL_CHARS).trim() : 'no log';
}
