/**
 * What a fresh clone needs before anything else runs: packages and the build. Done when missing or
 * stale, said aloud, nothing otherwise. Only Node's own modules: there may be no node_modules yet.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
const NODE_MIN = [20, 19];
/** Says from which inputs dist/ was built. */
const BUILT = join(ROOT, 'dist/.built');
const BUILD_INPUTS = ['src', 'scripts/copy-assets.mjs', 'tsconfig.json', 'tsconfig.build.json'];

/**
 * @param run (title, command, args) → Promise of the exit code, which shows the output
 * @returns true when packages and build are as the sources say
 */
export async function prepare(run) {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])) {
    console.error(
      `Node ${NODE_MIN.join('.')} or newer is needed; this is ${process.versions.node}`,
    );
    return false;
  }
  if (!packagesAreCurrent()) {
    // Also under NODE_ENV=production: tests and build need the development packages.
    const args = ['--include=dev', '--no-audit', '--no-fund'];
    // `ci` refuses a lock file that lacks another platform's optional packages; `install` adds them.
    if (
      (await run('Installing packages', 'npm', ['ci', ...args])) !== 0 &&
      (await run('Installing packages, second way', 'npm', ['install', '--no-save', ...args])) !== 0
    )
      return false;
  }
  const inputs = fingerprint();
  if (!existsSync(BUILT) || readFileSync(BUILT, 'utf8') !== inputs) {
    rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
    if ((await run('Building', 'npm', ['run', '--silent', 'build'])) !== 0) return false;
    writeFileSync(BUILT, inputs);
  }
  return true;
}

/** npm writes what it installed into node_modules: every package of the lock file must be there, as locked. */
function packagesAreCurrent() {
  const file = join(ROOT, 'node_modules/.package-lock.json');
  if (!existsSync(file)) return false;
  const installed = JSON.parse(readFileSync(file, 'utf8')).packages;
  const locked = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(locked).every(
    ([path, { version, optional, devOptional, peer }]) =>
      path === '' ||
      installed[path]?.version === version ||
      // Left out on other platforms.
      (installed[path] === undefined && (optional || devOptional || peer)),
  );
}

function fingerprint() {
  const hash = createHash('sha256').update(readFileSync(join(ROOT, 'package-lock.json')));
  for (const input of BUILD_INPUTS) {
    const path = join(ROOT, input);
    const files = statSync(path).isDirectory()
      ? readdirSync(path, { recursive: true })
          .sort()
          .map((name) => join(path, name))
      : [path];
    for (const file of files)
      if (statSync(file).isFile()) hash.update(`${file}\0`).update(readFileSync(file));
  }
  return hash.digest('hex');
}
