/**
 * Schemas from a graph's TypeScript, for states that have no types at run time (Annotation). The parser is the official
 * one, of `@langchain/langgraph-api`, an optional package of the project; it works in a thread of its own, for
 * seconds, so each export is looked at once.
 */
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
interface Parser {
  getStaticGraphSchema(
    spec: { sourceFile: string; exportSymbol: string },
    options: { timeoutMs: number },
  ): Promise<Extracted>;
}

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
  const parser = await parserOf(file);
  if (parser === undefined) return new Map();
  const spec = { sourceFile: file, exportSymbol: exportName };
  const extracted = await parser.getStaticGraphSchema(spec, { timeoutMs });
  return new Map(Object.entries(extracted).map(([name, schemas]) => [name, completed(schemas)]));
}

/** The project's own: it goes with the TypeScript and the library that the graph is written against. */
async function parserOf(file: string): Promise<Parser | undefined> {
  let path: string;
  try {
    path = createRequire(file).resolve(PARSER);
  } catch {
    return undefined;
  }
  return (await import(pathToFileURL(path).href)) as Parser;
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
