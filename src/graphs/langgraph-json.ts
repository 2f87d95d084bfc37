/**
 * langgraph.json: which graphs a project has. The file belongs to another tool's users, so keys we do not
 * know are left alone; those we do know are checked, and an error names file and key.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { z } from 'zod';
import { GraphInvalidError } from './adapter.ts';

export interface GraphSpec {
  readonly graphId: string;
  /** Absolute path of the module. */
  readonly file: string;
  readonly exportName: string;
  readonly description?: string;
  /** Where it is written, for errors: `/app/langgraph.json: graphs.agent` */
  readonly origin: string;
}

export interface LangGraphJson {
  readonly graphs: readonly GraphSpec[];
  /** Variables for the graphs' process; those already set win. Applied by the composition root. */
  readonly env: Readonly<Record<string, string>>;
}

const location = z
  .string()
  .regex(
    /^[^:]+(:[^:/\\]+)?$/,
    'expected "./path/to/file.ts:exportName", e.g. "./src/agent.ts:graph"',
  );
const schema = z.looseObject({
  graphs: z.record(
    z.string().min(1),
    z.union([location, z.looseObject({ path: location, description: z.string().optional() })], {
      error: 'expected "./path/to/file.ts:exportName" or {"path": "./path/to/file.ts:exportName"}',
    }),
  ),
  env: z
    .union([z.string(), z.record(z.string(), z.string())], {
      error: 'expected the path of an env file or an object of strings',
    })
    .optional(),
  node_version: z.union([z.string(), z.number()]).optional(),
});

/** @throws {GraphInvalidError} */
export function readLangGraphJson(file: string): LangGraphJson {
  const path = resolve(file);
  const parsed = schema.safeParse(parseJson(path));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const key = issue?.path.join('.') ?? '';
    throw new GraphInvalidError(
      `${path}: ${key === '' ? 'the document' : key}: ${issue?.message ?? 'is invalid'}`,
    );
  }
  const { graphs, env } = parsed.data;
  return {
    graphs: Object.entries(graphs).map(([graphId, value]) => specOf(path, graphId, value)),
    env: typeof env === 'string' ? readEnvFile(path, env) : (env ?? {}),
  };
}

function specOf(
  path: string,
  graphId: string,
  value: string | { path: string; description?: string | undefined },
): GraphSpec {
  const { path: where, description } =
    typeof value === 'string' ? { path: value, description: undefined } : value;
  const [relative = '', exportName = 'default'] = where.split(':');
  return {
    graphId,
    file: resolve(dirname(path), relative),
    exportName,
    origin: `${path}: graphs.${graphId}`,
    ...(description === undefined ? {} : { description }),
  };
}

function parseJson(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new GraphInvalidError(`${path}: cannot be read`, { cause });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new GraphInvalidError(`${path}: is not valid JSON`, { cause });
  }
}

function readEnvFile(path: string, env: string): Record<string, string> {
  const envPath = resolve(dirname(path), env);
  try {
    return parseEnv(readFileSync(envPath, 'utf8')) as Record<string, string>;
  } catch (cause) {
    throw new GraphInvalidError(`${path}: env: ${envPath} cannot be read`, { cause });
  }
}
