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

/** An export of a module of the project. */
export type ExportSpec = Pick<GraphSpec, 'file' | 'exportName' | 'origin'>;

export interface StoreSpec {
  readonly index?: {
    /** Which function makes vectors; text when it names none of the project: why not. */
    readonly embed: ExportSpec | string;
    readonly dims: number;
    readonly fields: readonly string[];
  };
  readonly ttl: { readonly defaultMinutes?: number; readonly refreshOnRead?: boolean };
}

/** As the file has it: names of the official server. */
export type CorsSpec = z.infer<typeof corsSchema>;

export const HTTP_PARTS = ['assistants', 'threads', 'runs', 'store', 'meta', 'ui'] as const;
export type HttpPart = (typeof HTTP_PARTS)[number];

export interface HttpSpec {
  /** The project's own routes. */
  readonly app?: ExportSpec;
  /** Whether `auth` is asked before the project's own routes; true unless given. */
  readonly customRouteAuth?: boolean;
  /** Parts of the API that are not served. */
  readonly disabled: readonly HttpPart[];
  readonly cors?: CorsSpec;
}

/** React components that belong to graphs. */
export interface UiSpec {
  /** Path of each graph's module of components, relative to the folder. */
  readonly components: Readonly<Record<string, string>>;
  /** Packages that the page shares with the components. */
  readonly shared: readonly string[];
  /** langgraph.json, and the folder it is in: absolute. */
  readonly file: string;
  readonly folder: string;
  /** For errors. */
  readonly origin: string;
}

/** A consumer group of the project. */
export interface ConsumerGroupSpec {
  readonly name: string;
  /** A URL, or a function. */
  readonly target: string | ExportSpec;
  readonly threadId: string | undefined;
  /** An assistant's id, or a graph's. */
  readonly assistantId: string | undefined;
  readonly eventTypes: readonly string[] | undefined;
  readonly from: 'start' | 'now';
  readonly batchMax: number;
}

/** Where the project's Auth object is. */
export interface AuthSpec extends ExportSpec {
  /** undefined: the file does not say. */
  readonly disableStudioAuth: boolean | undefined;
}

export interface LangGraphJson {
  readonly graphs: readonly GraphSpec[];
  readonly store: StoreSpec;
  readonly http: HttpSpec;
  /** undefined: there is none. */
  readonly ui: UiSpec | undefined;
  /** undefined: everybody may do everything. */
  readonly auth?: AuthSpec;
  /** undefined: none. */
  readonly consumerGroups?: readonly ConsumerGroupSpec[];
  /** Variables for the graphs' process; those already set win. Applied by the composition root. */
  readonly env: Readonly<Record<string, string>>;
}

/** What pgvector stores at most. */
const VECTOR_DIMS_MAX = 16_000;
/** A path, in contrast to `openai:text-embedding-3-small`. */
const PATH = /^\.{0,2}\/|\.[cm]?[jt]sx?(:|$)/;

const location = z
  .string()
  .regex(
    /^[^:]+(:[^:/\\]+)?$/,
    'expected "./path/to/file.ts:exportName", e.g. "./src/agent.ts:graph"',
  );
const corsSchema = z.looseObject({
  allow_origins: z.array(z.string()).optional(),
  allow_origin_regex: z.string().refine(isPattern, 'expected a regular expression').optional(),
  allow_methods: z.array(z.string()).optional(),
  allow_headers: z.array(z.string()).optional(),
  allow_credentials: z.boolean().optional(),
  expose_headers: z.array(z.string()).optional(),
  max_age: z.number().int().min(0).optional(),
});
const CONSUMER_BATCH_DEFAULT = 100;
const consumerGroupSchema = z
  .strictObject({
    path: location.optional(),
    url: z
      .url({ protocol: /^https?$/, error: 'expected a URL that begins with http:// or https://' })
      .optional(),
    thread_id: z.guid().optional(),
    assistant_id: z.string().min(1).optional(),
    event_types: z.array(z.string().min(1)).min(1).optional(),
    from: z.enum(['start', 'now']).default('now'),
    batch_max: z.number().int().min(1).max(1_000).default(CONSUMER_BATCH_DEFAULT),
  })
  .refine(({ path, url }) => (path === undefined) !== (url === undefined), {
    path: ['path'],
    error: 'expected either "path", "./path/to/file.ts:exportName" of a function, or "url"',
  });
/** It becomes a folder and a part of addresses. */
const UI_NAME = /^[^./\\][^/\\]*$/;
const schema = z.looseObject({
  graphs: z.record(
    z.string().min(1),
    z.union([location, z.looseObject({ path: location, description: z.string().optional() })], {
      error: 'expected "./path/to/file.ts:exportName" or {"path": "./path/to/file.ts:exportName"}',
    }),
  ),
  store: z
    .looseObject({
      index: z
        .looseObject({
          embed: z.string().min(1),
          dims: z.number().int().min(1).max(VECTOR_DIMS_MAX),
          fields: z.array(z.string().min(1)).min(1).default(['$']),
        })
        .optional(),
      ttl: z
        .looseObject({
          default_ttl: z.number().positive().nullish(),
          refresh_on_read: z.boolean().optional(),
        })
        .optional(),
    })
    .default({}),
  http: z
    .looseObject({
      app: location.optional(),
      enable_custom_route_auth: z.boolean().optional(),
      cors: corsSchema.optional(),
      disable_assistants: z.boolean().optional(),
      disable_threads: z.boolean().optional(),
      disable_runs: z.boolean().optional(),
      disable_store: z.boolean().optional(),
      disable_meta: z.boolean().optional(),
      disable_ui: z.boolean().optional(),
    })
    .default({}),
  ui: z
    .record(z.string(), z.string().min(1, 'expected the path of a module of components'))
    .refine(
      (components) => Object.keys(components).every((graphId) => UI_NAME.test(graphId)),
      'expected ids of graphs, which neither begin with . nor have / or \\ in them',
    )
    .optional(),
  ui_config: z.looseObject({ shared: z.array(z.string().min(1)).optional() }).optional(),
  auth: z
    .looseObject({ path: location.optional(), disable_studio_auth: z.boolean().optional() })
    // Whoever writes something here wants authentication: a slip must not serve everything to everybody.
    .refine(
      ({ path, ...others }) =>
        path !== undefined || Object.keys(others).every((key) => key === 'disable_studio_auth'),
      { path: ['path'], error: 'expected "./path/to/file.ts:exportName" of an Auth object' },
    )
    .optional(),
  consumer_groups: z
    .record(
      z
        .string()
        .regex(
          /^[\w.-]{1,100}$/,
          'expected a name of letters, digits, dots, dashes and underscores',
        ),
      consumerGroupSchema,
    )
    .optional(),
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
  const {
    graphs,
    store,
    http,
    ui = {},
    ui_config: uiConfig,
    auth,
    consumer_groups: groups,
    env,
  } = parsed.data;
  return {
    graphs: Object.entries(graphs).map(([graphId, value]) => specOf(path, graphId, value)),
    store: storeOf(path, store),
    http: {
      disabled: HTTP_PARTS.filter((part) => http[`disable_${part}`] === true),
      ...(http.app === undefined ? {} : { app: exportOf(path, http.app, 'http.app') }),
      ...(http.cors === undefined ? {} : { cors: http.cors }),
      ...(http.enable_custom_route_auth === undefined
        ? {}
        : { customRouteAuth: http.enable_custom_route_auth }),
    },
    ui:
      Object.keys(ui).length === 0
        ? undefined
        : {
            components: ui,
            shared: uiConfig?.shared ?? [],
            file: path,
            folder: dirname(path),
            origin: `${path}: ui`,
          },
    ...(auth?.path === undefined
      ? {}
      : {
          auth: {
            ...exportOf(path, auth.path, 'auth.path'),
            disableStudioAuth: auth.disable_studio_auth,
          },
        }),
    ...(groups === undefined ? {} : { consumerGroups: consumerGroupsOf(path, groups) }),
    env: typeof env === 'string' ? readEnvFile(path, env) : (env ?? {}),
  };
}

function isPattern(text: string): boolean {
  try {
    new RegExp(text);
    return true;
  } catch {
    return false;
  }
}

function storeOf(
  path: string,
  { index, ttl }: z.infer<typeof schema>['store'],
): LangGraphJson['store'] {
  const { default_ttl: defaultMinutes, refresh_on_read: refreshOnRead } = ttl ?? {};
  return {
    ttl: {
      ...(defaultMinutes == null ? {} : { defaultMinutes }),
      ...(refreshOnRead === undefined ? {} : { refreshOnRead }),
    },
    ...(index === undefined
      ? {}
      : {
          index: {
            dims: index.dims,
            fields: index.fields,
            embed: PATH.test(index.embed)
              ? exportOf(path, index.embed, 'store.index.embed')
              : `${path}: store.index.embed: expected "./path/to/file.ts:exportName" of a function that makes vectors, found "${index.embed}"`,
          },
        }),
  };
}

const consumerGroupsOf = (
  path: string,
  groups: Record<string, z.infer<typeof consumerGroupSchema>>,
): ConsumerGroupSpec[] =>
  Object.entries(groups).map(([name, group]) => ({
    name,
    target: group.url ?? exportOf(path, group.path ?? '', `consumer_groups.${name}.path`),
    threadId: group.thread_id,
    assistantId: group.assistant_id,
    eventTypes: group.event_types,
    from: group.from,
    batchMax: group.batch_max,
  }));

function exportOf(path: string, where: string, key: string): ExportSpec {
  const [relative = '', exportName = 'default'] = where.split(':');
  return { file: resolve(dirname(path), relative), exportName, origin: `${path}: ${key}` };
}

function specOf(
  path: string,
  graphId: string,
  value: string | { path: string; description?: string | undefined },
): GraphSpec {
  const { path: where, description } =
    typeof value === 'string' ? { path: value, description: undefined } : value;
  return {
    graphId,
    ...exportOf(path, where, `graphs.${graphId}`),
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
