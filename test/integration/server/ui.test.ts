/** React components of the project, bundled by its own @langchain/langgraph-ui and served. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import vm from 'node:vm';
import { readLangGraphJson } from '../../../src/graphs/langgraph-json.ts';
import type { HttpSpec } from '../../../src/graphs/langgraph-json.ts';
import { createServer } from '../../../src/server/server.ts';
import type { Server } from '../../../src/server/server.ts';
import { startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { createTempFolder, removeTempFolder } from '../../support/reaper.ts';

const PROJECT = fileURLToPath(new URL('../../support/ui-project/langgraph.json', import.meta.url));
const NO_HTTP: HttpSpec = { disabled: [] };

let app: TestApp;
let elsewhere: string;
const servers: Server[] = [];
beforeAll(async () => {
  app = await startTestApp({ redis: false, worker: false, environment: { PORT: '0' } });
  elsewhere = createTempFolder('ui');
});
afterAll(async () => {
  for (const server of servers) await server.stop();
  await app.stop();
  removeTempFolder(elsewhere);
});

/** @param file a langgraph.json @returns the server's port */
async function serve(file: string, http = NO_HTTP): Promise<number> {
  const server = createServer({ ...app.core, http, ui: readLangGraphJson(file).ui });
  servers.push(server);
  await server.start();
  return server.port;
}

interface Answer {
  status: number | undefined;
  type: string | undefined;
  text: string;
}
/** As it stands: fetch would tidy the path up and set Host itself. */
const ask = (
  port: number,
  method: 'GET' | 'POST',
  path: string,
  { body, host }: { body?: unknown; host?: string } = {},
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const headers = { ...(host === undefined ? {} : { host }), 'content-type': 'application/json' };
    const sent = request({ port, method, path, headers, host: '127.0.0.1' }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => {
        const { statusCode: status, headers: answered } = response;
        resolve({ status, type: answered['content-type'], text });
      });
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });

describe('a project with components', () => {
  let port: number;
  beforeAll(async () => {
    port = await serve(PROJECT);
  }, 120_000);
  const show = (name: unknown, host = 'localhost:2024', agent = 'my-agent'): Promise<Answer> =>
    ask(port, 'POST', `/ui/${agent}`, { body: { name }, host });

  test.each([
    ['localhost:2024', 'http://localhost:2024'],
    ['127.0.0.1:9', 'http://127.0.0.1:9'],
    ['[::1]:9', '//[::1]:9'],
    ['agents.example.org', '//agents.example.org'],
    ['localhost.example.org', '//localhost.example.org'],
  ])('HTML for a page that asked %s loads from %s', async (host, origin) => {
    expect(await show('weather', host)).toEqual({
      status: 200,
      type: 'text/html; charset=utf-8',
      text: [
        `<link rel="stylesheet" href="${origin}/ui/my-agent/entrypoint.css" />`,
        `<script src="${origin}/ui/my-agent/entrypoint.js" onload='__LGUI_my_agent.render("weather", "{{shadowRootId}}")'></script>`,
      ].join('\n'),
    });
  });

  test('the bundle gives the component to the page that asked for it', async () => {
    const { status, type, text } = await ask(port, 'GET', '/ui/my-agent/entrypoint.js');
    expect([status, type]).toEqual([200, 'text/javascript; charset=utf-8']);
    const jsx = (tag: string, props: object): object => ({ tag, ...props });
    const rendered: unknown[] = [];
    const page = vm.createContext({
      document: {
        getElementById: (id: string) => ({ shadowRoot: { id, appendChild: () => undefined } }),
        createElement: () => 'element',
      },
      [Symbol.for('LGUI_EXT_STORE')]: { respond: (...all: unknown[]) => rendered.push(all) },
      [Symbol.for('LGUI_REQUIRE')]: (name: string) =>
        name === 'shared-by-the-page' ? { shared: 'the page' } : { jsx, jsxs: jsx },
    });
    vm.runInContext(`globalThis.window = globalThis; ${text}`, page);
    vm.runInContext('__LGUI_my_agent.render("weather", "root-1")', page);
    const [[rootId, component, element]] = rendered as [
      [string, (props: object) => object, string],
    ];
    expect([rootId, element]).toEqual(['root-1', 'element']);
    expect(component({ city: 'Berlin' })).toEqual({
      tag: 'div',
      className: 'weather p-4',
      children: ['It rains in ', 'Berlin', ', says ', 'the page'],
    });
    const css = await ask(port, 'GET', '/ui/my-agent/entrypoint.css');
    expect([css.status, css.type]).toEqual([200, 'text/css; charset=utf-8']);
    expect(css.text).toContain('.weather');
  });

  test('names that want to be HTML or script stay names', async () => {
    const { text } = await show(`'><script>"&amp;\\`);
    expect(text).toContain(
      `onload='__LGUI_my_agent.render("&#39;>&lt;script>\\"&amp;amp;\\\\", "{{shadowRootId}}")'></script>`,
    );
  });

  test.each([`x'onload=alert(1)`, 'a b', 'a/b', '"', 'host:port'])(
    'a Host that is none is refused: %j',
    async (host) => {
      const { status, text } = await show('weather', host);
      expect([status, text]).toEqual([
        400,
        `Host: expected a host name, found ${JSON.stringify(host)}`,
      ]);
    },
  );

  test('a wrong name is refused with its field', async () => {
    const { status, text } = await show(5);
    expect(status).toBe(400);
    expect(text).toContain('"path":["name"]');
  });

  test.each([
    '/ui/other/entrypoint.js',
    '/ui/my-agent/components.jsx',
    '/ui/my-agent/../langgraph.json',
    '/ui/my-agent/..%2f..%2f..%2fpackage.json',
    '/ui/..%2fmy-agent/entrypoint.js',
    '/ui/my-agent/%2e%2e%2fentrypoint.js',
    '/ui/my-agent/entrypoint.js%00',
    '/ui/__proto__/constructor',
  ])('%s is not there', async (path) => {
    const { status, text } = await ask(port, 'GET', path);
    expect([path, status]).toEqual([path, expect.anything()]);
    expect([400, 404]).toContain(status);
    expect(text.length).toBeLessThan(200);
  });

  test('an agent without components', async () => {
    const { status, text } = await show('weather', 'localhost', 'other');
    expect([status, text]).toEqual([404, 'UI not found for agent "other"']);
  });
});

describe('a project whose components cannot be bundled keeps its API, and says why', () => {
  const project = (name: string, ui: unknown): string => {
    const folder = join(elsewhere, name);
    mkdirSync(folder);
    const file = join(folder, 'langgraph.json');
    writeFileSync(file, JSON.stringify({ graphs: {}, ui }));
    return file;
  };

  test('its package is missing', async () => {
    const file = project('missing', { agent: './components.jsx' });
    const port = await serve(file);
    expect((await ask(port, 'GET', '/ok')).status).toBe(200);
    const why = `${file}: ui: @langchain/langgraph-ui, which bundles the components, is not installed in this project: npm install --save-exact @langchain/langgraph-ui`;
    for (const answer of [
      await ask(port, 'POST', '/ui/agent', { body: { name: 'x' } }),
      await ask(port, 'GET', '/ui/agent/entrypoint.js'),
    ])
      expect([answer.status, answer.text]).toEqual([500, why]);
  });

  test('they do not compile', async () => {
    const spec = readLangGraphJson(PROJECT).ui;
    if (spec === undefined) throw new Error('the project has components');
    const server = createServer({
      ...app.core,
      ui: { ...spec, components: { agent: './langgraph.jsx' } },
    });
    servers.push(server);
    await server.start();
    const answer = await ask(server.port, 'GET', '/ui/agent/entrypoint.js');
    expect(answer.status).toBe(500);
    expect(answer.text).toMatch(/ui: @langchain\/langgraph-ui has ended with 1:[^]*langgraph\.jsx/);
  });

  test('a path that is none is refused with the file', () => {
    const file = project('wrong', { '../agent': './x.jsx' });
    expect(() => readLangGraphJson(file)).toThrow(
      `${file}: ui: expected ids of graphs, which neither begin with . nor have / or \\ in them`,
    );
  });
});

test('without components, or with disable_ui, there is nothing', async () => {
  const file = join(elsewhere, 'langgraph.json');
  writeFileSync(file, JSON.stringify({ graphs: {} }));
  const port = await serve(file);
  expect((await ask(port, 'POST', '/ui/agent', { body: { name: 'x' } })).text).toBe(
    'UI not found for agent "agent"',
  );
  const disabled = await serve(PROJECT, { disabled: ['ui'] });
  expect((await ask(disabled, 'GET', '/ui/my-agent/entrypoint.js')).text).toBe('404 Not Found');
});
