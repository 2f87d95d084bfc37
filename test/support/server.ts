/** The HTTP side on top of a TestApp, and a plain client for it. */
import { createServer } from '../../src/server/server.ts';
import type { Server } from '../../src/server/server.ts';
import { startTestApp } from './app.ts';
import type { TestApp } from './app.ts';

export interface TestServer extends TestApp {
  readonly server: Server;
  readonly url: string;
  /** JSON unless `body` is a string. */
  call(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer>;
}

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  /** The body parsed; throws when it is no JSON. */
  json(): unknown;
}

export async function startTestServer(
  options: Parameters<typeof startTestApp>[0],
): Promise<TestServer> {
  const app = await startTestApp({
    ...options,
    environment: { PORT: '0', ...options.environment },
  });
  const server = createServer(app.core);
  await server.start();
  const url = `http://127.0.0.1:${server.port}`;
  return {
    ...app,
    server,
    url,
    async call(method, path, body, headers = {}) {
      const response = await fetch(url + path, {
        method,
        headers: {
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined
          ? {}
          : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        text,
        json: () => JSON.parse(text) as unknown,
      };
    },
    async stop() {
      await server.stop();
      await app.stop();
    },
  };
}
