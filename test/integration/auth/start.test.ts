/** What cannot be asked who may do what is not served; and what is, in front of the project's own routes. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import express, { Router } from 'express';
import { WebSocket } from 'ws';
import type { AddressInfo } from 'node:net';
import { newId } from '../../../src/ids.ts';
import { createAuthGate } from '../../../src/auth/gate.ts';
import { readLangGraphJson } from '../../../src/graphs/langgraph-json.ts';
import { authentication } from '../../../src/server/auth/authenticate.ts';
import { asks } from '../../../src/server/auth/declare.ts';
import { problemHandler } from '../../../src/server/problem.ts';
import { createServer } from '../../../src/server/server.ts';
import type { Log } from '../../../src/telemetry/log.ts';
import { startTestApp } from '../../support/app.ts';
import { PROJECT, startAuthServer } from '../../support/auth-project/people.ts';

const AUTH = fileURLToPath(new URL('../../support/auth-project/auth.ts', import.meta.url));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-auth-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function project(auth: unknown, module = ''): Promise<string> {
  await writeFile(join(folder, 'auth.mjs'), module);
  const file = join(folder, 'langgraph.json');
  await writeFile(file, JSON.stringify({ graphs: {}, auth }));
  return file;
}

let count = 0;
/** A module of its own for each case: modules are loaded once. */
async function start(module: string, exportName = 'auth'): Promise<unknown> {
  const name = `case-${++count}.mjs`;
  await writeFile(join(folder, name), module);
  const file = await project({ path: `./${name}:${exportName}` });
  const app = await startTestApp({ redis: false, file, worker: false });
  await app.stop();
  return app;
}

test.each([
  ['a module that throws', `throw new Error('not today')`, /auth\.path: .*cannot be imported: not/],
  ['no such export', `export const other = {}`, /has no export "auth"/],
  ['what is no Auth object', `export const auth = {}`, /expected an Auth object .*found object/],
  ['null', `export const auth = null`, /expected an Auth object .*found null/],
  [
    'an Auth object that lets everybody in',
    `export const auth = { '~handlerCache': { callbacks: {} } }`,
    /has no authenticate handler/,
  ],
  [
    'a handler that is none',
    `export const auth = { '~handlerCache': { authenticate() {}, callbacks: { threads: 1 } } }`,
    /the handler of "threads" is no function/,
  ],
])('%s stops the start', async (_what, module, message) => {
  await expect(start(module)).rejects.toThrow(message);
});

test.each([
  [{}, false],
  [{ file: './auth.ts:auth' }, true],
  [{ path: '' }, true],
  [{ disable_studio_auth: true }, false],
])('auth: %j in langgraph.json is refused: %s', async (auth, refused) => {
  const file = await project(auth);
  if (refused) expect(() => readLangGraphJson(file)).toThrow(/langgraph\.json: auth\.path/);
  else expect(readLangGraphJson(file).auth).toBeUndefined();
});

test('Studio is let in during development, and otherwise when the file says so', async () => {
  const studio = { 'x-auth-scheme': 'langsmith' };
  for (const [disable, environment, status] of [
    [undefined, { NODE_ENV: 'development' }, 200],
    [undefined, {}, 401],
    [undefined, { NODE_ENV: 'production' }, 401],
    [false, { NODE_ENV: 'production' }, 200],
    [true, { NODE_ENV: 'development' }, 401],
  ] as const) {
    const file = await project({ path: `${AUTH}:auth`, disable_studio_auth: disable });
    const server = await startAuthServer({ file, environment, worker: false });
    const answer = await server.call('POST', '/threads/search', {}, studio);
    await server.stop();
    expect([disable, environment, answer.status]).toEqual([disable, environment, status]);
  }
});

test('http.enable_custom_route_auth: false opens the project’s routes, and only those', async () => {
  const app = await startAuthServer({ worker: false });
  const { http } = readLangGraphJson(PROJECT);
  const server = createServer({ ...app.core, http: { ...http, customRouteAuth: false } });
  await server.start();
  const url = `http://127.0.0.1:${server.port}`;
  const own = await fetch(`${url}/whoami`);
  expect([own.status, await own.json()]).toEqual([200, { identity: null }]);
  expect((await fetch(`${url}/threads/search`, { method: 'POST' })).status).toBe(401);
  await server.stop();
  await app.stop();
});

test('http.cors keeps pages of elsewhere from the WebSocket, too', async () => {
  const app = await startAuthServer({ worker: false });
  const { http } = readLangGraphJson(PROJECT);
  const cors = { allow_origins: ['https://app.example'] };
  const server = createServer({ ...app.core, http: { ...http, disabled: [], cors } });
  await server.start();
  const answerTo = (headers: Record<string, string>): Promise<number> =>
    new Promise((resolve, reject) => {
      const url = `ws://127.0.0.1:${server.port}/threads/${newId()}/stream/events`;
      const ws = new WebSocket(url, { headers: { 'x-api-key': 'ada', ...headers } });
      ws.once('error', reject);
      ws.once('open', () => {
        ws.terminate();
        resolve(101);
      });
      ws.once('unexpected-response', (_request, response) => {
        response.resume();
        ws.terminate();
        resolve(response.statusCode ?? 0);
      });
    });
  try {
    expect(await answerTo({ origin: 'https://elsewhere.example' })).toBe(403);
    expect(await answerTo({ origin: 'null' })).toBe(403);
    expect(await answerTo({ origin: 'https://app.example' })).toBe(101);
    expect(await answerTo({ origin: `http://127.0.0.1:${server.port}` })).toBe(101);
    expect(await answerTo({})).toBe(101);
  } finally {
    await server.stop();
    await app.stop();
  }
});

test('a deployment without threads has no WebSocket on them either', async () => {
  const app = await startAuthServer({ worker: false });
  const { http } = readLangGraphJson(PROJECT);
  const server = createServer({ ...app.core, http: { ...http, disabled: ['threads'] } });
  await server.start();
  const status = await new Promise((resolve, reject) => {
    const url = `ws://127.0.0.1:${server.port}/threads/${newId()}/stream/events`;
    const ws = new WebSocket(url, { headers: { 'x-api-key': 'ada' } });
    ws.once('error', reject);
    ws.once('open', () => {
      ws.terminate();
      resolve(101);
    });
    ws.once('unexpected-response', (_request, response) => {
      response.resume();
      ws.terminate();
      resolve(response.statusCode);
    });
  });
  await server.stop();
  await app.stop();
  expect(status).toBe(404);
});

test('who listens for other machines and asks nobody who they are is told so', async () => {
  const app = await startAuthServer({ worker: false });
  const warned = async (HOST: string, auth: boolean): Promise<string[]> => {
    const texts: string[] = [];
    const log = { ...app.core.log, warn: (text: string) => texts.push(text) } as unknown as Log;
    const config = { ...app.core.config, HOST };
    const server = createServer({
      ...app.core,
      config,
      log,
      auth: auth ? app.core.auth : undefined,
    });
    await server.start();
    await server.stop();
    return texts;
  };
  expect(await warned('0.0.0.0', false)).toEqual([expect.stringContaining('auth.path')]);
  expect(await warned('0.0.0.0', true)).toEqual([]);
  expect(await warned('127.0.0.1', false)).toEqual([]);
  await app.stop();
});

test('a route that answers without having asked is broken off', async () => {
  const errors: string[] = [];
  const log = { error: (message: string) => errors.push(message) } as unknown as Log;
  const gate = createAuthGate({ authenticate: () => 'ada', handlers: {} }, { studio: false });
  const deps = { auth: gate, log };
  const router = Router();
  router.get(
    '/forgets',
    asks(deps, 'threads:read', (_request, response) => {
      response.end('secret');
    }),
  );
  router.get(
    '/streams',
    asks(deps, 'threads:read', (_request, response) => {
      response.flushHeaders();
      response.write('secret');
      response.end();
    }),
  );
  router.get(
    '/asks-for-another',
    asks(deps, 'threads:read', async (_request, response, access) => {
      await access.ask('threads:delete', {});
      response.end('secret');
    }),
  );
  router.get(
    '/asks',
    asks(deps, 'threads:read', async (_request, response, access) => {
      await access.ask('threads:read', {});
      response.end('answer');
    }),
  );
  const app = express().use(authentication(gate)).use(router).use(problemHandler(log, 1));
  const http = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => http.once('listening', resolve));
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  await expect(fetch(`${url}/forgets`)).rejects.toThrow('fetch failed');
  await expect(fetch(`${url}/streams`)).rejects.toThrow('fetch failed');
  const other = await fetch(`${url}/asks-for-another`);
  expect([other.status, await other.text()]).toEqual([500, 'Internal Server Error']);
  expect(await (await fetch(`${url}/asks`)).text()).toBe('answer');
  expect(errors.slice(0, 2)).toEqual(
    Array.from({ length: 2 }, () => 'a route answers without having asked for permission'),
  );
  await new Promise((resolve) => http.close(resolve));
});
