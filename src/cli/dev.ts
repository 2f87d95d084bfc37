/**
 * `millrace dev`: everything in one process, with Postgres from npm, started again when a file of the project
 * changes. Runs that are under way are handed over by the old process and go on in the new one.
 *
 * This process is only the supervisor: a module that was imported once cannot be imported anew, so
 * the server lives in a child. It keeps Postgres, which would cost most of the restart.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { watch } from 'chokidar';
import { createLog } from '../telemetry/log.ts';
import { ensureDatabase, nextSignal, readProjectConfig } from './run-services.ts';

/** Editors write in several steps: changes this close together are one. */
const SETTLE_MS = 150;
const STOP_LIMIT_MS = 15_000;
const IGNORED = /(^|[/\\])(node_modules|dist|\.git|\.millrace|\.langgraph_api)([/\\]|$)/;

export async function devCommand(options: { host?: string; port?: string }): Promise<number> {
  const config = readProjectConfig();
  const log = createLog({ level: config.LOG_LEVEL, format: 'text', name: 'dev' });
  const signalled = nextSignal();
  const database = await ensureDatabase(config, log);
  const environment = {
    // eslint-disable-next-line no-restricted-syntax -- the child reads it through config.ts
    ...process.env,
    DATABASE_URL: database.url,
    ENABLE_WORKERS: 'false',
    BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS: '0',
    LOG_FORMAT: 'text',
    NODE_ENV: config.NODE_ENV ?? 'development',
    ...(options.host === undefined ? {} : { HOST: options.host }),
    ...(options.port === undefined ? {} : { PORT: options.port }),
  };
  const main = fileURLToPath(
    new URL(`../main.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
  );

  let child: ChildProcess | undefined;
  let stopping = false;
  const start = (): void => {
    const started = spawn(process.execPath, [...process.execArgv, main, 'serve'], {
      stdio: 'inherit',
      env: environment,
    });
    started.on('error', (error) => {
      log.error('the server cannot be started; it is tried again with the next change', { error });
      if (child === started) child = undefined;
    });
    started.once('exit', (code, signal) => {
      if (child !== started || stopping) return;
      child = undefined;
      log.error('the server has ended; it starts again with the next change', { code, signal });
    });
    child = started;
  };
  const stop = async (): Promise<void> => {
    const ending = child;
    child = undefined;
    if (ending === undefined) return;
    const exited = new Promise((settle) => ending.once('exit', settle));
    ending.kill('SIGTERM');
    const limit = setTimeout(() => ending.kill('SIGKILL'), STOP_LIMIT_MS);
    await exited;
    clearTimeout(limit);
  };

  const project = dirname(resolve(config.LANGGRAPH_CONFIG_PATH));
  const watcher = watch(project, { ignored: (path) => IGNORED.test(path), ignoreInitial: true });
  let settle: NodeJS.Timeout | undefined;
  let restarting = Promise.resolve();
  watcher.on('all', (_event, path) => {
    clearTimeout(settle);
    settle = setTimeout(() => {
      log.info('changed, starting again', { file: relative(project, path) });
      restarting = restarting.then(stop).then(() => {
        if (!stopping) start();
      });
    }, SETTLE_MS);
  });

  // What changes before it knows the files is lost on it: a server that is there must not be older than its files.
  const watching = new Promise<void>((ready) => watcher.once('ready', ready));
  await Promise.race([watching, signalled]);
  start();
  const signal = await signalled;
  log.info(`${signal}: stopping`);
  stopping = true;
  clearTimeout(settle);
  await watcher.close();
  await restarting;
  await stop();
  await database.stop();
  return 0;
}
