/**
 * The project's own routes (langgraph.json, `http.app`): an Express or a Hono app, asked before the API. Its
 * middleware sees the API's requests too; what none of its routes answers goes on to the API.
 * Who asks has been found out before (unless `http.enable_custom_route_auth` is false), and is handed on.
 *
 * Both kinds are known by shape: the project brings its own copy of the library, and we need none of Hono's.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { RequestHandler } from 'express';
import { AppError } from '../errors.ts';
import type { ExportSpec } from '../graphs/langgraph-json.ts';
import { loadExport } from '../graphs/load.ts';
import { userOfRequest } from './auth/authenticate.ts';

export class CustomAppInvalidError extends AppError {
  readonly code = 'config_invalid';
}

/** What a request through Hono carries: as @hono/node-server has it, and the way on to the API. */
interface Bindings {
  incoming: IncomingMessage;
  outgoing: ServerResponse;
  auth: AuthVariable | undefined;
  pass(context: HonoContext): Promise<void>;
}
/** As the official server has it: `c.get('auth')` in Hono, `request.auth` in Express. */
interface AuthVariable {
  user: object;
  scopes: readonly string[];
}
interface HonoContext {
  env: Bindings;
  req: { text(): Promise<string> };
  res: Response;
  set(name: string, value: unknown): void;
}
interface Hono {
  fetch(request: Request, env: Bindings): Response | Promise<Response>;
  route(path: string, app: Hono): unknown;
  use(
    path: string,
    middleware: (context: HonoContext, next: () => Promise<void>) => Promise<void>,
  ): unknown;
  all(path: string, handler: (context: HonoContext) => Promise<Response>): unknown;
}

/** The API answered on the socket itself. */
const PASSED = 'x-millrace-passed';

const isExpress = (value: unknown): value is RequestHandler =>
  typeof value === 'function' && 'handle' in value && 'use' in value;
const isHono = (value: unknown): value is Hono =>
  typeof value === 'object' &&
  value !== null &&
  typeof (value as Partial<Hono>).fetch === 'function' &&
  typeof (value as Partial<Hono>).route === 'function' &&
  'routes' in value;

export interface CustomApp {
  readonly handler: RequestHandler;
  /** @throws {GraphInvalidError | CustomAppInvalidError} */
  load(): Promise<void>;
}

/** Loaded before the server listens, so that a broken app is seen at the start. */
export function createCustomApp(spec: ExportSpec | undefined): CustomApp {
  let loaded: RequestHandler | undefined;
  return {
    handler(request, response, next) {
      if (loaded !== undefined) {
        Object.assign(request, { auth: authOf(request) });
        return loaded(request, response, next);
      }
      next();
      return undefined;
    },
    async load() {
      if (spec !== undefined) loaded ??= customApp(await loadExport(spec), spec.origin);
    },
  };
}

function authOf(request: IncomingMessage): AuthVariable | undefined {
  const user = userOfRequest(request);
  return user && { user, scopes: user.permissions };
}

/** @param origin where the app is written, for the error. @throws {CustomAppInvalidError} */
function customApp(value: unknown, origin: string): RequestHandler {
  if (isExpress(value)) return value;
  if (isHono(value)) return throughHono(value);
  throw new CustomAppInvalidError(
    `${origin}: expected an Express app, an Express router or a Hono app`,
  );
}

function throughHono(app: Hono): RequestHandler {
  // A Hono around it, of the project's own class: the app itself may be matched already and takes no more routes.
  const outer = new (app.constructor as new () => Hono)();
  outer.use('*', (context, next) => {
    context.set('auth', context.env.auth);
    return next();
  });
  outer.route('/', app);
  outer.all('*', async (context) => {
    await context.env.pass(context);
    return new Response(null, { headers: { [PASSED]: '1' } });
  });

  return async (request, response, next) => {
    const { webRequest, wasRead } = webRequestOf(request);
    const pass = async ({ req, res }: HonoContext): Promise<void> => {
      // Headers that middleware has set go along, but not the type of an answer that is not there.
      const headers = new Headers(res.headers);
      if (headers.get('content-type')?.startsWith('text/plain') === true)
        headers.delete('content-type');
      setHeaders(headers, response);
      // What middleware has read is not on the socket any more.
      if (wasRead()) (request as { body?: unknown }).body = parsed(await req.text());
      await new Promise<void>((resolve) => {
        response.once('close', resolve);
        next();
      });
    };
    const answer = await outer.fetch(webRequest, {
      incoming: request,
      outgoing: response,
      auth: authOf(request),
      pass,
    });
    if (!answer.headers.has(PASSED)) await send(answer, response);
  };
}

/** Malformed JSON stays text, which no schema takes. */
function parsed(text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function webRequestOf(incoming: IncomingMessage): { webRequest: Request; wasRead(): boolean } {
  const { method = 'GET', url = '/' } = incoming;
  let chunks: AsyncIterator<Uint8Array, undefined> | undefined;
  // Nothing is taken from the socket before somebody asks: the API may want it.
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        chunks ??= (incoming as AsyncIterable<Uint8Array, undefined>)[Symbol.asyncIterator]();
        const { done, value } = await chunks.next();
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
    },
    { highWaterMark: 0 },
  );
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming.headers))
    for (const one of Array.isArray(value) ? value : [value ?? '']) headers.append(name, one);
  const bodiless = method === 'GET' || method === 'HEAD';
  return {
    webRequest: new Request(new URL(url, `http://${incoming.headers.host ?? 'localhost'}`), {
      method,
      headers,
      ...(bodiless ? {} : { body, duplex: 'half' }),
    }),
    wasRead: () => chunks !== undefined,
  };
}

/** Cookies are several headers, of which `forEach` would leave the last. */
function setHeaders(headers: Headers, response: ServerResponse): void {
  headers.forEach((value, name) => {
    if (name !== 'set-cookie') response.setHeader(name, value);
  });
  const cookies = headers.getSetCookie();
  if (cookies.length > 0) response.setHeader('set-cookie', cookies);
}

async function send(answer: Response, response: ServerResponse): Promise<void> {
  response.statusCode = answer.status;
  setHeaders(answer.headers, response);
  if (answer.body === null) {
    response.end();
    return;
  }
  // A client that leaves ends the app's stream; that is no error of the server.
  await pipeline(Readable.fromWeb(answer.body), response).catch(() => {
    response.destroy();
  });
}
