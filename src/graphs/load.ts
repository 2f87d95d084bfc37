/**
 * Imports a module of the project, such as a graph's. TypeScript goes through tsx, registered once and only when the first
 * TypeScript graph is loaded, without a namespace of its own: a graph must share @langchain/langgraph with
 * us, and a second copy would cost 39 MiB.
 */
import { existsSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { GraphInvalidError } from './adapter.ts';
import type { ExportSpec } from './langgraph-json.ts';

const TYPESCRIPT = /\.[mc]?tsx?$/;

let registered: Promise<void> | undefined;

/**
 * @returns what the export is, awaited when it is a promise; functions are factories and not called here
 * @throws {GraphInvalidError} naming where the graph is written, its file and its export
 */
export async function loadExport(spec: ExportSpec): Promise<unknown> {
  const { file, exportName, origin } = spec;
  if (!existsSync(file)) throw new GraphInvalidError(`${origin}: there is no file ${file}`);
  let module: Readonly<Record<string, unknown>>;
  try {
    if (TYPESCRIPT.test(file)) await (registered ??= registerTypeScript());
    module = exportsOf((await import(pathToFileURL(file).href)) as Record<string, unknown>);
  } catch (cause) {
    // The reason stands in the run's error: without it nobody can mend the module.
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new GraphInvalidError(`${origin}: ${file} cannot be imported: ${reason}`, { cause });
  }
  const names = Object.keys(module);
  if (!names.includes(exportName))
    throw new GraphInvalidError(
      `${origin}: ${file} has no export "${exportName}", only ${names.join(', ') || 'none at all'}`,
    );
  try {
    return await module[exportName];
  } catch (cause) {
    throw new GraphInvalidError(`${origin}: the promise exported as "${exportName}" was rejected`, {
      cause,
    });
  }
}

/** The module as it was written: of a TypeScript file compiled to CommonJS, `import()` only shows the whole as `default`. */
function exportsOf(module: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const whole = module['default'];
  const compiled = typeof whole === 'object' && whole !== null && '__esModule' in whole;
  return compiled ? whole : module;
}

async function registerTypeScript(): Promise<void> {
  // Both: a project whose package.json does not say `"type": "module"` has TypeScript files that Node takes for CommonJS.
  // One after the other: Jest's loader does not survive both at once.
  const esm = await import('tsx/esm/api');
  const cjs = await import('tsx/cjs/api');
  try {
    cjs.register();
    esm.register();
  } catch {
    // Forbidden where something else transforms TypeScript, as under Jest; if nothing does, the import says so.
  }
}
