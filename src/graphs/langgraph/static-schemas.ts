/**
 * Schemas from a graph's TypeScript, for states that have no types at run time (Annotation). The parser is the official
 * one, of `@langchain/langgraph-api`, an optional package of the project; it works for seconds, so each export is
 * looked at once. In a process of its own: the thread that it would use cannot load itself where tsx is registered, as it
 * is here once a graph is TypeScript, and hangs until its limit.
 */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { GraphDependencies, GraphSource } from '../adapter.ts';
import type { JsonObject } from '../port.ts';
import type { GraphSchemas } from './schemas.ts';

const PARSER = '@langchain/langgraph-api/schema';
const DRAFT = 'http://json-schema.org/draft-07/schema#';

/** By graph and subgraph: `graph`, `graph|sub`. */
export type StaticSchemas = ReadonlyMap<string, GraphSchemas>;

type Extracted = Record<string, Partial<Record<keyof GraphSchemas, JsonObject>>>;

/** What the child does. Arguments: the parser's URL, file, export. It ends with its parent. */
const CHILD = `
process.on('disconnect', () => process.exit());
const [, parser, sourceFile, exportSymbol] = process.argv;
try {
  const { getStaticGraphSchema } = await import(parser);
  process.send({ schemas: await getStaticGraphSchema({ sourceFile, exportSymbol }, { mainThread: true }) });
} catch (error) {
  process.send({ error: String(error?.message ?? error) });
}`;
type Reply = { schemas: Extracted } | { error: string };

const TYPESCRIPT = /\.[mc]?tsx?$/;
const found = new Map<string, Promise<StaticSchemas>>();

/** @returns nothing when there is no source, no parser, or the parser fails: that is reported */
export function staticSchemasOf(
  options: NonNullable<GraphDependencies['schemas']>,
  source: GraphSource | undefined,
): Promise<StaticSchemas> {
  if (source === undefined || !TYPESCRIPT.test(source.file)) return Promise.resolve(new Map());
  const key = `${source.file}:${source.exportName}`;
  const known = found.get(key);
  if (known !== undefined) return known;
  const finding = extract(options, source).catch((error: unknown) => {
    options.onTrouble('read schemas of a graph from its source', error);
    // Not looked at again: it would take as long, and fail the same way.
    return new Map<string, GraphSchemas>();
  });
  found.set(key, finding);
  return finding;
}

async function extract(
  { timeoutMs }: NonNullable<GraphDependencies['schemas']>,
  { file, exportName }: GraphSource,
): Promise<StaticSchemas> {
  const parser = parserOf(file);
  if (parser === undefined) return new Map();
  const reply = await ask([parser, file, exportName], timeoutMs);
  if ('error' in reply) throw new Error(reply.error);
  return new Map(
    Object.entries(reply.schemas).map(([name, schemas]) => [name, completed(schemas)]),
  );
}

/** The project's own: it goes with the TypeScript and the library that the graph is written against. */
function parserOf(file: string): string | undefined {
  try {
    return pathToFileURL(createRequire(file).resolve(PARSER)).href;
  } catch {
    return undefined;
  }
}

function ask(parameters: readonly string[], limitMs: number): Promise<Reply> {
  // It prints what it thinks of the project's types: nobody asked.
  const child = spawn(process.execPath, ['--input-type=module', '--eval', CHILD, ...parameters], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    timeout: limitMs,
    killSignal: 'SIGKILL',
  });
  return new Promise<Reply>((resolve, reject) => {
    child.once('message', (reply) => {
      resolve(reply as Reply);
    });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      reject(new Error(`the parser ended with ${String(signal ?? code)}, or took too long`));
    });
  }).finally(() => {
    child.kill('SIGKILL');
  });
}

const completed = (schemas: Extracted[string]): GraphSchemas => {
  const empty = { $schema: DRAFT, type: 'object' };
  return {
    state: schemas.state ?? empty,
    input: schemas.input ?? empty,
    output: schemas.output ?? empty,
    config: schemas.config ?? empty,
  };
};

/** Of the graph itself, or of the subgraph in `namespace`. */
export function schemasAt(schemas: StaticSchemas, namespace?: string): GraphSchemas | undefined {
  const root = [...schemas.keys()].find((name) => !name.includes('|'));
  if (root === undefined) return undefined;
  return schemas.get(namespace === undefined ? root : `${root}|${namespace}`);
}
