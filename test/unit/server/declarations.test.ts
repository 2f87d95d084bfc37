/** Every route of the API has said what it asks, and the document says the same. */
import { Router } from 'express';
import type { AuthGate } from '../../../src/auth/gate.ts';
import { assertDeclared, declarationOf } from '../../../src/server/auth/declare.ts';
import type { Declaration } from '../../../src/server/auth/declare.ts';
import { isPublic } from '../../../src/server/auth/public-paths.ts';
import type { RouteContext } from '../../../src/server/context.ts';
import { documentOf } from '../../../src/server/openapi/document.ts';
import { NOUNS } from '../../../src/server/openapi/nouns.ts';
import { routes } from '../../../src/server/routes.ts';

interface Layer {
  route?: { path: string; stack: { method: string; handle: object }[] };
  handle: { stack?: Layer[] };
}

function declarations(layers: Layer[]): [string, string, Declaration | undefined][] {
  return layers.flatMap(({ route, handle }) => {
    if (route !== undefined)
      return route.stack.map((layer): [string, string, Declaration | undefined] => [
        layer.method,
        route.path,
        declarationOf(layer.handle),
      ]);
    return declarations(handle.stack ?? []);
  });
}

const context = { auth: {} as AuthGate } as RouteContext;
const all = declarations(routes(context).stack as unknown as Layer[]);
const document = documentOf(NOUNS, '1', { auth: true });

test.each(all)('%s %s has declared what it asks', (method, path, declaration) => {
  expect(declaration).toBeDefined();
  const operation = document.paths[path.replaceAll(/:(\w+)/g, '{$1}')]?.[method];
  expect(operation?.['security']).toEqual(declaration === 'open' ? [] : undefined);
  const filled = path.replaceAll(/:(\w+)/g, 'x');
  expect(isPublic(method.toUpperCase(), filled)).toBe(declaration === 'open');
});

test('what is open names no resource', () => {
  const open = all.filter(([, , declaration]) => declaration === 'open').map(([, path]) => path);
  expect(open.sort()).toEqual([
    '/docs',
    '/health',
    '/info',
    '/metrics',
    '/metrics/workers',
    '/ok',
    '/openapi.json',
    '/ready',
    '/ui/:agent/:file',
  ]);
});

test('a route that has declared nothing stops the start', () => {
  const router = Router();
  router.get('/threads/secret', (_request, response) => {
    response.end('secret');
  });
  expect(() => {
    assertDeclared(router);
  }).toThrow('get /threads/secret declares nothing');
});

test('without auth the document knows no security', () => {
  expect(JSON.stringify(documentOf(NOUNS, '1'))).not.toContain('security');
});
