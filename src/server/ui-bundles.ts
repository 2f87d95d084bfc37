/**
 * The project's own React components (langgraph.json, `ui`), as @langchain/langgraph-ui bundles them. It is the
 * project's package, found from the project. It works in a process of its own, once, when the server starts (and
 * `millrace dev` starts the server again when a file changes): its compilers stay out of this process' memory, and the
 * files are then served from memory, so that no request ever names a path. Of several processes on one machine
 * (`--processes`) the one that starts them builds, into a folder that they read (`buildUi`).
 *
 * A failure does not keep the API from starting: the log tells it, and so does every request for a component.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { AppError } from '../errors.ts';
import type { UiSpec } from '../graphs/langgraph-json.ts';
import type { Log } from '../telemetry/log.ts';

const PACKAGE = '@langchain/langgraph-ui';
const BUILD_MS_MAX = 120_000;
/** Of what the bundler writes, the end is kept: it says what is wrong. */
const OUTPUT_CHARS_MAX = 4_000;
const BUILD_SCRIPT =
  'const [module, options] = process.argv.slice(1); await (await import(module)).build(JSON.parse(options));';

export class UiUnavailableError extends AppError {
  readonly code = 'ui_unavailable';
}

export interface UiBundles {
  /** Builds, once. Never rejects: what went wrong is thrown by `files`. */
  load(): Promise<void>;
  /**
   * @returns the files of a graph's bundle by name, undefined when it has none
   * @throws {UiUnavailableError} when the bundles could not be built
   */
  files(graphId: string): ReadonlyMap<string, Buffer> | undefined;
}

/** @param builtIn a folder that `buildUi` has filled; undefined: `load` builds */
export function createUiBundles(spec: UiSpec | undefined, log: Log, builtIn?: string): UiBundles {
  let bundles = new Map<string, ReadonlyMap<string, Buffer>>();
  let failure: UiUnavailableError | undefined;
  return {
    async load() {
      if (spec === undefined) return;
      try {
        if (builtIn === undefined) {
          bundles = await build(spec);
          log.info('UI bundles built', { graphs: [...bundles.keys()] });
        } else bundles = await readBundles(spec, builtIn);
      } catch (error) {
        failure =
          error instanceof UiUnavailableError
            ? error
            : new UiUnavailableError(`${spec.origin}: the bundles cannot be built`, {
                cause: error,
              });
        log.error('UI bundles are not served', { error: failure });
      }
    },
    files(graphId) {
      if (failure !== undefined) throw failure;
      return bundles.get(graphId);
    },
  };
}

async function build(spec: UiSpec): Promise<Map<string, ReadonlyMap<string, Buffer>>> {
  const { folder, remove } = await buildUi(spec);
  try {
    return await readBundles(spec, folder);
  } finally {
    await remove();
  }
}

export interface BuiltUi {
  readonly folder: string;
  remove(): Promise<void>;
}

/** @throws {UiUnavailableError} and what the file system says; nothing is left behind then */
export async function buildUi(spec: UiSpec): Promise<BuiltUi> {
  const module = pathToFileURL(findBundler(spec)).href;
  const folder = await mkdtemp(join(tmpdir(), 'millrace-ui-'));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    await runBundler(spec, module, folder);
    return { folder, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function readBundles(
  spec: UiSpec,
  folder: string,
): Promise<Map<string, ReadonlyMap<string, Buffer>>> {
  const bundles = new Map<string, ReadonlyMap<string, Buffer>>();
  for (const graphId of Object.keys(spec.components))
    bundles.set(graphId, await readFiles(join(folder, 'public', graphId)));
  return bundles;
}

/** @returns the path of the bundler's module */
function findBundler({ file, origin }: UiSpec): string {
  try {
    return createRequire(file).resolve(PACKAGE);
  } catch (cause) {
    throw new UiUnavailableError(
      `${origin}: ${PACKAGE}, which bundles the components, is not installed in this project: npm install --save-exact ${PACKAGE}`,
      { cause },
    );
  }
}

function runBundler(spec: UiSpec, module: string, output: string): Promise<void> {
  const { folder: cwd, components: defs, shared } = spec;
  const options = JSON.stringify({ output, cwd, defs, config: { shared } });
  const child = spawn(
    process.execPath,
    ['--input-type=module', '--eval', BUILD_SCRIPT, module, options],
    { cwd, stdio: ['ignore', 'pipe', 'pipe'], timeout: BUILD_MS_MAX, killSignal: 'SIGKILL' },
  );
  let written = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      written = (written + text).slice(-OUTPUT_CHARS_MAX);
    });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else
        reject(
          new UiUnavailableError(
            `${spec.origin}: ${PACKAGE} has ended with ${signal ?? String(code)}: ${written.trim()}`,
          ),
        );
    });
  });
}

async function readFiles(folder: string): Promise<ReadonlyMap<string, Buffer>> {
  const names = await readdir(folder);
  return new Map(
    await Promise.all(
      names.map(async (name) => [name, await readFile(join(folder, name))] as const),
    ),
  );
}
