/** The API's document and the routers tell of the same routes, and the document holds together. */
import type { Router } from 'express';
import type { RouteContext } from '../../../src/server/context.ts';
import { documentOf } from '../../../src/server/openapi/document.ts';
import { NOUNS } from '../../../src/server/openapi/nouns.ts';
import { pageOf } from '../../../src/server/openapi/page.ts';
import { routes } from '../../../src/server/routes.ts';

interface Layer {
  route?: { path: string; stack: { method: string }[] };
  handle: { stack?: Layer[] };
}

function routesOf(router: Pick<Router, 'stack'>): string[] {
  return (router.stack as unknown as Layer[]).flatMap(({ route, handle }) => {
    if (route !== undefined) return route.stack.map(({ method }) => `${method} ${route.path}`);
    return handle.stack === undefined ? [] : routesOf(handle as Pick<Router, 'stack'>);
  });
}

const document = documentOf(NOUNS, '1.2.3');
const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));

test('every route has a row, and every row a route', () => {
  // Making routers looks nothing up in the context; only requests do.
  const served = routesOf(routes({} as RouteContext));
  const told = NOUNS.flatMap((noun) =>
    noun.operations.map(({ method, path }) => `${method} ${path}`),
  );
  expect(told.sort()).toEqual(served.sort());
  expect(new Set(told).size).toBe(told.length);
});

test('operations have names of their own', () => {
  const ids = operations.map((operation) => operation['operationId']);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids).toContain('postThreadsThreadIdRunsStream');
});

test('every reference leads to a schema, and every schema is referred to', () => {
  const references = [
    ...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g),
  ].map(([, name]) => name);
  expect([...new Set(references)].sort()).toEqual(Object.keys(document.components.schemas).sort());
  expect(JSON.stringify(document)).not.toContain('$defs');
});

test('parameters of paths and queries are told, as the schemas have them', () => {
  expect(document.paths['/threads/{thread_id}/runs']?.['get']?.['parameters']).toEqual([
    { name: 'thread_id', in: 'path', required: true, schema: { type: 'string', format: 'uuid' } },
    expect.objectContaining({
      name: 'limit',
      in: 'query',
      required: false,
      schema: { type: 'integer', minimum: 1, maximum: 1000, default: 10 },
    }),
    expect.objectContaining({ name: 'offset' }),
    expect.objectContaining({ name: 'status' }),
    expect.objectContaining({ name: 'select' }),
  ]);
});

test('bodies are those that validate', () => {
  const body = document.paths['/threads/{thread_id}/runs']?.['post']?.['requestBody'];
  expect(body).toEqual({
    required: true,
    content: { 'application/json': { schema: { $ref: '#/components/schemas/RunCreate' } } },
  });
  expect(document.components.schemas['RunCreate']).toMatchObject({
    type: 'object',
    required: ['assistant_id'],
    additionalProperties: false,
    properties: { multitask_strategy: {}, after_seconds: {} },
  });
});

test('the page has every route, and fetches nothing', () => {
  const page = pageOf(document);
  for (const path of Object.keys(document.paths)) expect(page).toContain(`<code>${path}</code>`);
  expect(page).not.toMatch(/<(script|link|img|iframe)|https?:|url\(|@import/i);
});

test('text in the document cannot become markup', () => {
  const page = pageOf({ ...document, info: { title: '<b>&', version: '1', description: '"' } });
  expect(page).toContain('<h1>&lt;b&gt;&amp; <small>');
});
