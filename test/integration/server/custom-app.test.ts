/** `http` of langgraph.json: the project's own routes and middleware, parts that are left out, CORS. */
import { fileURLToPath } from 'node:url';
import { Annotation, START, StateGraph } from '@langchain/langgraph';
import { Client } from '@langchain/langgraph-sdk';
import type { HttpSpec } from '../../../src/graphs/langgraph-json.ts';
import { createServer } from '../../../src/server/server.ts';
import type { Server } from '../../../src/server/server.ts';
import { startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';

const State = Annotation.Root({ n: Annotation<number>() });
const graph = new StateGraph(State).addNode('add', ({ n }) => ({ n: n + 1 })).addEdge(START, 'add');

let app: TestApp;
const servers: Server[] = [];
beforeAll(async () => {
  app = await startTestApp({ redis: false, graph, environment: { PORT: '0' } });
});
afterAll(async () => {
  for (const server of servers) await server.stop();
  await app.stop();
});

const exported = (name: string, exportName = 'app'): HttpSpec => ({
  disabled: [],
  app: {
    file: fileURLToPath(new URL(`../../support/custom-apps/${name}.ts`, import.meta.url)),
    exportName,
    origin: 'langgraph.json: http.app',
  },
});
async function serve(http: HttpSpec): Promise<string> {
  const server = createServer({ ...app.core, http });
  servers.push(server);
  await server.start();
  return `http://127.0.0.1:${server.port}`;
}

describe.each(['express', 'hono'])('an app of %s', (name) => {
  let url: string;
  beforeAll(async () => {
    url = await serve(exported(name));
  });
  const post = (path: string, body: string): Promise<Response> =>
    fetch(url + path, { method: 'POST', body, headers: { 'content-type': 'application/json' } });

  test('answers its own routes, also where the API would have one', async () => {
    const hello = await fetch(`${url}/hello/you?q=1`);
    expect(await hello.json()).toEqual({ hello: 'you', query: '1' });
    expect(await (await fetch(`${url}/runs/afakeroute`)).text()).toBe('mine');
    const echo = await post('/echo', 'x'.repeat(90_000));
    expect([echo.status, (await echo.text()).length]).toEqual([201, 90_000]);
    // Its own, and what middleware adds to an answer of the API.
    for (const path of ['/cookies', '/info']) {
      const { headers } = await fetch(url + path);
      expect(headers.getSetCookie().map((cookie) => cookie.slice(0, 3))).toEqual(['a=1', 'b=2']);
    }
  });

  test('lets the API answer the rest, with its middleware before it', async () => {
    const ok = await fetch(`${url}/ok`);
    expect([ok.headers.get('x-seen-by'), await ok.json()]).toEqual([name, { ok: true }]);
    expect(ok.headers.get('content-type')).toBe('application/json');
    const unknown = await fetch(`${url}/none/such`);
    expect([unknown.status, await unknown.text()]).toEqual([404, '404 Not Found']);
    const refused = await post('/threads', '{"metadata":{"forbidden":true}}');
    expect([refused.status, await refused.text()]).toEqual([403, 'not this one']);
    const made = await post('/threads', '{"metadata":{"read":"by middleware"}}');
    expect(await made.json()).toMatchObject({ metadata: { read: 'by middleware' } });
  });

  test('leaves bodies and streams of the API alone', async () => {
    const client = new Client({ apiUrl: url, apiKey: null });
    const { thread_id: threadId } = await client.threads.create();
    const events: string[] = [];
    for await (const { event } of client.runs.stream(threadId, 'test', { input: { n: 1 } }))
      events.push(event);
    expect(events).toEqual(['metadata', 'values', 'values']);
    const item = { namespace: ['a'], key: 'k', value: { text: 'y'.repeat(200_000) } };
    const put = await fetch(`${url}/store/items`, {
      method: 'PUT',
      body: JSON.stringify(item),
      headers: { 'content-type': 'application/json' },
    });
    expect(put.status).toBe(204);
    expect((await client.store.getItem(['a'], 'k'))?.value).toEqual(item.value);
  });
});

test('an export that is no app is refused at the start', async () => {
  await expect(serve(exported('express', 'nothing'))).rejects.toThrow(
    'langgraph.json: http.app: expected an Express app',
  );
});

test('parts that are disabled are not there', async () => {
  const url = await serve({ disabled: ['store', 'meta', 'assistants'] });
  const status = async (path: string): Promise<number> => (await fetch(url + path)).status;
  expect(await status('/store/items?namespace=a&key=k')).toBe(404);
  expect(await status('/ok')).toBe(404);
  expect(await status('/openapi.json')).toBe(404);
  expect(await status('/assistants/test')).toBe(404);
  const thread = await fetch(`${url}/threads`, { method: 'POST' });
  expect(thread.status).toBe(200);
});

test('CORS as configured: origins, credentials, headers', async () => {
  const url = await serve({
    disabled: [],
    cors: {
      allow_origins: ['https://a.example'],
      allow_origin_regex: 'https://.*\\.b\\.example',
      allow_credentials: true,
      allow_headers: ['x-mine'],
      allow_methods: ['GET'],
      expose_headers: ['x-more'],
      max_age: 7,
    },
  });
  const ask = (origin: string, method = 'GET'): Promise<Response> =>
    fetch(`${url}/ok`, { method, headers: { origin } });
  for (const origin of ['https://a.example', 'https://x.b.example']) {
    const { headers } = await ask(origin);
    expect(headers.get('access-control-allow-origin')).toBe(origin);
    expect(headers.get('access-control-allow-credentials')).toBe('true');
    expect(headers.get('access-control-expose-headers')).toMatch(/^content-location,.*,x-more$/);
    expect(headers.get('vary')).toBe('origin');
  }
  for (const origin of ['https://b.example.evil', 'https://x.b.example.evil', 'null'])
    expect((await ask(origin)).headers.get('access-control-allow-origin')).toBeNull();
  const preflight = await ask('https://a.example', 'OPTIONS');
  expect(preflight.headers.get('access-control-allow-methods')).toBe('GET');
  expect(preflight.headers.get('access-control-allow-headers')).toBe('x-mine');
  expect(preflight.headers.get('access-control-max-age')).toBe('7');
});

test('default assistants have the configuration of LANGGRAPH_CONFIG, until somebody makes a version', async () => {
  const start = async (configurable: object): Promise<unknown> => {
    const config = {
      ...app.core.config,
      LANGGRAPH_CONFIG: { test: { configurable, context: { c: 1 } } },
    };
    const server = createServer({ ...app.core, config });
    servers.push(server);
    await server.start();
    const client = new Client({ apiUrl: `http://127.0.0.1:${server.port}`, apiKey: null });
    const [assistant] = await client.assistants.search({ metadata: { created_by: 'system' } });
    return [
      assistant?.config,
      (assistant as { context?: unknown } | undefined)?.context,
      assistant?.version,
    ];
  };
  expect(await start({ tone: 'dry' })).toEqual([{ configurable: { tone: 'dry' } }, { c: 1 }, 1]);
  expect(await start({ tone: 'warm' })).toEqual([{ configurable: { tone: 'warm' } }, { c: 1 }, 1]);
  const url = await serve({ disabled: [] });
  const client = new Client({ apiUrl: url, apiKey: null });
  await client.assistants.update('test', { config: { configurable: { tone: 'mine' } } });
  expect(await start({ tone: 'dry' })).toEqual([{ configurable: { tone: 'mine' } }, { c: 1 }, 2]);
});
