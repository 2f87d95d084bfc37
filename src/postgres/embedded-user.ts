/**
 * Postgres refuses to run as root. As root (containers, mostly) it runs as the system user `postgres`,
 * which is created when missing; and that user must be able to reach the files, which it cannot below
 * a closed home such as /root: then they live in /var/lib/millrace.
 */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { AppError } from '../errors.ts';

export interface SystemUser {
  uid: number;
  gid: number;
}

/** Postgres from npm cannot be prepared, started or stopped; the message says what to do. */
export class EmbeddedPostgresError extends AppError {
  readonly code = 'postgres_unavailable';
}

/** Readable for everybody, writable for root. */
const OPEN_HOME = '/var/lib/millrace';
/** Debian and most others; then busybox (Alpine). */
const USER_COMMANDS = [
  ['/usr/sbin/useradd', '--system', '--user-group', '--no-create-home', 'postgres'],
  ['/usr/sbin/adduser', '-S', '-D', '-H', 'postgres'],
] as const;

/** @returns undefined when this process is not root: the server then runs as its user */
export function serverUser(): SystemUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const known = lookUp();
  if (known !== undefined) return known;
  for (const [command, ...args] of USER_COMMANDS) {
    if (!existsSync(command)) continue;
    try {
      execFileSync(command, args, { stdio: 'ignore' });
    } catch {
      // Another process may have created it at the same moment: look again before giving up.
    }
    const created = lookUp();
    if (created !== undefined) return created;
  }
  throw new EmbeddedPostgresError(
    'Postgres does not run as root, and no system user `postgres` could be created: ' +
      'create one, run as another user, or set DATABASE_URL',
  );
}

function lookUp(): SystemUser | undefined {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('postgres:'));
  const [, , uid, gid] = line?.split(':') ?? [];
  return uid === undefined || gid === undefined
    ? undefined
    : { uid: Number(uid), gid: Number(gid) };
}

/** Where the server's files go: `folder`, or behind the link `folder`/home when `user` cannot get there. */
export function reachableHome(folder: string, user: SystemUser | undefined): string {
  mkdirSync(folder, { recursive: true });
  if (user === undefined || isReachable(dirname(folder), user)) return folder;
  const link = join(folder, 'home');
  if (!existsSync(link)) symlinkSync(mkdtempSync(join(openHome(), 'data-')), link);
  return realpathSync(link);
}

export function openHome(): string {
  mkdirSync(OPEN_HOME, { recursive: true, mode: 0o755 });
  return OPEN_HOME;
}

/** Whether `user` may pass through every directory on the way into `folder`. */
export function isReachable(folder: string, user: SystemUser): boolean {
  for (let path = realpathSync(folder); ; path = dirname(path)) {
    const { mode, uid, gid } = statSync(path);
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return false;
    if (path === dirname(path)) return true;
  }
}
