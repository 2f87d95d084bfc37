/** Programs that some tests need and few machines have: Debian's, installed by the first test that asks, when it may. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Another test process may be installing something at the same moment. */
const APT = ['-o', 'DPkg::Lock::Timeout=300', '-y', '--no-install-recommends'];

/** @returns where the program is, or undefined when it is not there and cannot be installed */
export function findProgram(program: string, debianPackage: string): string | undefined {
  const found = onPath(program);
  if (found !== undefined) return found;
  const apt = onPath('apt-get');
  if (process.getuid?.() !== 0 || apt === undefined) return undefined;
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  process.stderr.write(`no ${program} on PATH: installing ${debianPackage} with apt-get\n`);
  const install = ['install', ...APT, debianPackage];
  try {
    execFileSync(apt, install, { env, stdio: 'ignore' });
  } catch {
    try {
      execFileSync(apt, ['update'], { env, stdio: 'ignore' }); // no or old package lists
      execFileSync(apt, install, { env, stdio: 'ignore' });
    } catch {
      return undefined;
    }
  }
  return onPath(program);
}

/**
 * `describe` when the program is there, else a skipped one that says what is missing.
 * @param title of the tests
 */
export function describeWith(
  program: string,
  debianPackage: string,
  title: string,
  tests: (path: string) => void,
): void {
  const path = findProgram(program, debianPackage);
  if (path === undefined)
    describe.skip(`${title} (skipped: ${program} is missing, install ${debianPackage})`, () => {
      tests(program);
    });
  else
    describe(title, () => {
      tests(path);
    });
}

export function onPath(program: string): string | undefined {
  // apt installs below /usr/bin; /usr/sbin is not on every user's PATH.
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/usr/sbin'];
  return folders.map((folder) => join(folder, program)).find((file) => existsSync(file));
}
