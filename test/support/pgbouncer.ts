/** A pgbouncer in transaction mode in front of a Postgres: Debian's package, on a free port. */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../src/lib/free-port.ts';
import { startProcess } from './processes.ts';
import { createTempFolder, removeTempFolder } from './reaper.ts';

export interface TestPgbouncer {
  /** The URL of a database behind it. */
  through(url: string): string;
  stop(): Promise<void>;
}

/**
 * @param serverUrl any database of the server
 * @param poolSize connections to the server; fewer than clients, so that sessions are shared
 */
export async function startPgbouncer(
  program: string,
  serverUrl: string,
  poolSize: number,
): Promise<TestPgbouncer> {
  const folder = createTempFolder('pgbouncer');
  const port = await freePort();
  const server = new URL(serverUrl);
  const user = decodeURIComponent(server.username);
  const password = decodeURIComponent(server.password);
  const target = [
    `host=${server.hostname}`,
    `port=${server.port}`,
    `user=${user}`,
    ...(password === '' ? [] : [`password=${password}`]),
  ].join(' ');
  const file = join(folder, 'pgbouncer.ini');
  writeFileSync(
    file,
    [
      '[databases]',
      `* = ${target}`,
      '[pgbouncer]',
      'listen_addr = 127.0.0.1',
      `listen_port = ${port}`,
      'unix_socket_dir =',
      'auth_type = any',
      'pool_mode = transaction',
      `default_pool_size = ${poolSize}`,
      'max_client_conn = 500',
      'ignore_startup_parameters = extra_float_digits',
    ].join('\n'),
  );
  // It refuses to run as root, and must be able to read its file.
  chmodSync(folder, 0o755);
  chmodSync(file, 0o644);
  const asRoot = process.getuid?.() === 0;
  const child = await startProcess(program, [...(asRoot ? ['-u', 'nobody'] : []), file], {
    readyLine: /process up/,
  });
  return {
    through(url) {
      const other = new URL(url);
      other.hostname = '127.0.0.1';
      other.port = String(port);
      return other.href;
    },
    async stop() {
      await child.stop();
      removeTempFolder(folder);
    },
  };
}
