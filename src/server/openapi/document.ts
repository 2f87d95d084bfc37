/** The API as an OpenAPI 3.1 document, made from the schemas that validate requests. */
import { z } from 'zod';
import { PUBLIC_PATHS } from '../auth/public-paths.ts';
import { NAMED_BODIES } from '../schemas/named.ts';
import { ERRORS } from './operation.ts';
import type { Noun, Operation } from './operation.ts';
import * as views from './views.ts';

type Fields = Record<string, unknown>;

export interface Document {
  openapi: '3.1.0';
  info: Fields;
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Fields>>;
  components: { schemas: Fields; securitySchemes?: Fields };
  security?: Fields[];
}

/** Schemas that the document names instead of repeating. */
const NAMES = z.registry<{ id: string }>();
for (const [id, schema] of Object.entries({ ...NAMED_BODIES, ...views }))
  if (schema instanceof z.ZodObject) NAMES.add(schema, { id });

/** Parameters of paths that are ids of ours; the others are any text. */
const UUIDS = /^(thread|run|cron|delivery|workflow|execution)_id$/;

/** Which header it is, the project's `authenticate` says; these are those that clients send. */
const SECURITY_SCHEMES = {
  bearer: { type: 'http', scheme: 'bearer' },
  apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key' },
};

/** @param auth whether the project has configured it */
export function documentOf(
  nouns: readonly Noun[],
  version: string,
  { auth = false }: { auth?: boolean } = {},
): Document {
  const schemas: Fields = {};
  const paths: Document['paths'] = {};
  for (const { tag, operations } of nouns)
    for (const operation of operations)
      (paths[operation.path.replaceAll(/:(\w+)/g, '{$1}')] ??= {})[operation.method] = {
        tags: [tag],
        ...operationOf(auth ? behindAuth(operation) : operation, schemas),
        ...(auth && isOpen(operation) ? { security: [] } : {}),
      };
  return {
    openapi: '3.1.0',
    info: { title: 'Millrace', version, description: 'The LangGraph Server API' },
    tags: nouns.map(({ tag, description }) => ({ name: tag, description })),
    paths,
    components: { schemas, ...(auth ? { securitySchemes: SECURITY_SCHEMES } : {}) },
    ...(auth ? { security: Object.keys(SECURITY_SCHEMES).map((name) => ({ [name]: [] })) } : {}),
  };
}

const isOpen = ({ method, path }: Operation): boolean =>
  method === 'get' && (PUBLIC_PATHS.has(path) || path.startsWith('/ui/'));

function behindAuth(operation: Operation): Operation {
  if (isOpen(operation)) return operation;
  return { ...operation, errors: [...new Set([401, 403, ...(operation.errors ?? [])] as const)] };
}

function operationOf(operation: Operation, schemas: Fields): Fields {
  const { method, path, summary, description, query, body, headers, answer, errors } = operation;
  const schemaOf = (schema: z.ZodType): Fields => jsonSchemaOf(schema, schemas);
  return {
    operationId: `${method}${path.replaceAll(/[/:._]+(\w)/g, (_, letter: string) => letter.toUpperCase())}`,
    summary,
    ...(description === undefined ? {} : { description }),
    parameters: [
      ...pathParameters(path),
      ...(query === undefined ? [] : queryParameters(schemaOf(query))),
      ...Object.entries(headers ?? {}).map(([name, text]) => ({
        name,
        in: 'header',
        description: text,
        schema: { type: 'string' },
      })),
    ],
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: !body.safeParse({}).success,
            content: { 'application/json': { schema: schemaOf(body) } },
          },
        }),
    responses: {
      [answer.status]:
        'schema' in answer
          ? { description: 'Done', content: { [answer.type]: { schema: schemaOf(answer.schema) } } }
          : {
              description: answer.text,
              ...('type' in answer
                ? { content: { [answer.type]: { schema: { type: 'string' } } } }
                : {}),
            },
      ...(body === undefined && query === undefined ? {} : { 400: INVALID }),
      ...Object.fromEntries(
        (errors ?? []).map((status) => [
          status,
          {
            description: ERRORS[status],
            content: { 'text/plain': { schema: { type: 'string' } } },
          },
        ]),
      ),
    },
  };
}

const INVALID = {
  description: 'The request does not fit its schema',
  content: {
    'application/json': {
      schema: {
        type: 'object',
        properties: {
          success: { const: false },
          error: {
            type: 'object',
            properties: { name: { const: 'ZodError' }, issues: { type: 'array', items: {} } },
          },
        },
      },
    },
  },
};

const pathParameters = (path: string): Fields[] =>
  [...path.matchAll(/:(\w+)/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string', ...(UUIDS.test(name) ? { format: 'uuid' } : {}) },
  }));

function queryParameters(schema: Fields): Fields[] {
  const { properties = {}, required = [] } = schema as {
    properties?: Fields;
    required?: string[];
  };
  return Object.entries(properties).map(([name, of]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema: of,
  }));
}

/** Named schemas inside go to `schemas`, and are referred to. */
function jsonSchemaOf(schema: z.ZodType, schemas: Fields): Fields {
  // Inside another one, so that a named schema is referred to at the top as well.
  const { properties, $defs = {} } = z.toJSONSchema(z.object({ schema }), {
    metadata: NAMES,
    io: 'input',
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      // Says no more than that keys are text.
      delete jsonSchema.propertyNames;
    },
  });
  const relocated = (value: unknown): Fields =>
    JSON.parse(JSON.stringify(value).replaceAll('"#/$defs/', '"#/components/schemas/')) as Fields;
  for (const [id, definition] of Object.entries($defs)) {
    const { id: _id, ...rest } = relocated(definition);
    schemas[id] = rest;
  }
  return relocated(properties?.['schema'] ?? {});
}
