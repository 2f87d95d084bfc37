/** Python with packages from PyPI. A virtual environment cannot be moved, so packages go to a plain folder. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { cached, UnavailableError } from './download.ts';

const execute = promisify(execFile);
const INSTALL_MS_MAX = 240_000;

export interface Python {
  readonly program: string;
  /** Of a process that finds the packages. */
  readonly env: Record<string, string>;
}

/**
 * @param oldest e.g. [3, 10]
 * @param packages with their versions: `langgraph-sdk==0.4.14`
 * @throws {UnavailableError} without Python, or without PyPI the first time
 */
export async function findPython(
  oldest: readonly [number, number],
  packages: readonly string[],
): Promise<Python> {
  const [program, version] = await findProgram(oldest);
  const folder = await cached(
    `python-${version}-${packages.join('-').replaceAll(/[^\w.-]/g, '')}`,
    async (target) => {
      const install = ['-m', 'pip', 'install', '--quiet', '--retries', '2', '--timeout', '30'];
      const args = [...install, '--target', target, ...packages];
      try {
        await execute(program, args, { timeout: INSTALL_MS_MAX });
      } catch (cause) {
        const { stderr } = cause as { stderr?: string };
        throw new UnavailableError(`pip install ${packages.join(' ')} failed: ${stderr ?? ''}`, {
          cause,
        });
      }
    },
  );
  return { program, env: { PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: '1' } };
}

/** @returns the program's name and its version, e.g. `3.11` */
async function findProgram([major, minor]: readonly [number, number]): Promise<[string, string]> {
  for (const program of ['python3', 'python'])
    try {
      const { stdout } = await execute(program, [
        '-c',
        'import sys; print("%d.%d" % sys.version_info[:2])',
      ]);
      const [foundMajor = 0, foundMinor = 0] = stdout.trim().split('.').map(Number);
      if (foundMajor === major && foundMinor >= minor) return [program, stdout.trim()];
    } catch {
      // the next name
    }
  throw new UnavailableError(`there is no Python ${major}.${minor} or newer on the PATH`);
}
