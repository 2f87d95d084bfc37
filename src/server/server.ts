/**
 * The HTTP side of the API. It holds no state that matters: everything is in Postgres, so any server
 * answers any request, and stopping one only makes its clients come back to another.
 */
import { createServer as createHttpServer } from 'node:http';
import type { Server as HttpServer } from 'node:http';
import express from 'express';
import type { Express, RequestHandler } from 'express';
import { ensureSystemAssistants } from '../assistants/assistant.ts';
import { AppError } from '../errors.ts';
import type { Service } from '../lib/service.ts';
import { authentication } from './auth/authenticate.ts';
import { createTermAttempts } from './attempts.ts';
import type { RouteContext } from './context.ts';
import { cors } from './cors.ts';
import { createCustomApp } from './custom-app.ts';
import { createDeployment } from './deployment.ts';
import type { ServerDeps } from './deps.ts';
import { createKnownAssistants } from './known-assistants.ts';
import { createOpenResponses } from './open-responses.ts';
import { isLoopbackHost } from './ops/access.ts';
import { OPS_PATH, opsRoutes } from './ops/ops.ts';
import { createPostgresGuard } from './postgres-guard.ts';
import { notFound, problemHandler, sendText } from './problem.ts';
import { routes } from './routes.ts';
import { traceRequests } from './trace-requests.ts';
import { createUiBundles } from './ui-bundles.ts';
import { createIdSuffixes } from './v2/event-ids.ts';
import { acceptSockets } from './v2/sockets.ts';
import { watchVanished } from './vanished.ts';

/** Requests in hand may take this long once the server stops. */
const STOP_GRACE_MS = 5_000;
const STOP_LOOK_MS = 50;
/** Longer than the idle time of common load balancers, so that they, not we, close idle connections. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
/** TCP keep-alive: finds clients that vanished while nothing is sent to them; vanished.ts finds the others. */
const TCP_KEEP_ALIVE_MS = 10_000;

export class ListenFailedError extends AppError {
  readonly code = 'listen_failed';
}

export interface Server extends Service {
  /** The port it listens on; 0 before start. */
  readonly port: number;
  /** For whoever puts requests in front of or beside the API. */
  readonly http: HttpServer;
}

export function createServer(deps: ServerDeps): Server {
  const open = createOpenResponses();
  const custom = createCustomApp(deps.http?.app);
  const servesUi = deps.http?.disabled.includes('ui') !== true;
  const bundles = createUiBundles(servesUi ? deps.ui : undefined, deps.log);
  const guard = createPostgresGuard(deps.pool);
  const context: RouteContext = {
    ...deps,
    open,
    bundles,
    guard,
    deployment: createDeployment(deps, guard),
    attempts: createTermAttempts(deps.pool),
    assistants: createKnownAssistants(),
    suffixes: createIdSuffixes(deps.pool),
  };
  const http = createHttpServer(
    {
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    },
    createApp(context, custom.handler),
  );
  if (deps.http?.disabled.includes('threads') !== true) acceptSockets(context, http);
  const unwatch = watchVanished(http, (count) => {
    deps.log.info('clients vanished without a word: let go', { count });
  });
  let port = 0;
  let stopped: Promise<void> | undefined;

  async function listen(): Promise<void> {
    const { HOST, PORT } = deps.config;
    await new Promise<void>((resolve, reject) => {
      const failed = (cause: Error): void => {
        const found = `${HOST} and ${PORT}`;
        reject(
          new ListenFailedError(`HOST, PORT: expected an address that is free, found ${found}`, {
            cause,
          }),
        );
      };
      http.once('error', failed);
      http.listen(PORT, HOST, () => {
        http.off('error', failed);
        resolve();
      });
    });
    const address = http.address();
    port = typeof address === 'object' && address !== null ? address.port : 0;
  }

  async function close(): Promise<void> {
    unwatch();
    if (!http.listening) return;
    // From now on answers carry `connection: close`, and idle connections are closed.
    const closed = new Promise<void>((resolve) => {
      http.close(() => {
        resolve();
      });
    });
    open.breakOffAll();
    // A connection becomes idle when its last answer is out.
    const idle = setInterval(() => {
      http.closeIdleConnections();
    }, STOP_LOOK_MS);
    const limit = setTimeout(() => {
      http.closeAllConnections();
    }, STOP_GRACE_MS);
    await closed;
    clearInterval(idle);
    clearTimeout(limit);
  }

  return {
    get port() {
      return port;
    },
    http,
    async start() {
      if (http.listening) return;
      await ensureSystemAssistants(deps.pool, deps.graphs.ids(), deps.config.LANGGRAPH_CONFIG);
      await custom.load();
      await bundles.load();
      await listen();
      deps.webhooks.listening(urlOf(deps.config.HOST, port));
      if (deps.auth === undefined && !isLoopbackHost(inUrl(deps.config.HOST)))
        deps.log.warn(
          'no auth is configured: whoever reaches this address may do everything. Set auth.path in langgraph.json, or let only a proxy that asks reach it',
        );
      deps.log.info('listening', { url: `http://${deps.config.HOST}:${port}` });
    },
    stop: () => (stopped ??= close()),
  };
}

/** How a process of this machine reaches the server; a wildcard is no address to connect to. */
function urlOf(host: string, port: number): string {
  const name = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${inUrl(name)}:${port}`;
}

const inUrl = (host: string): string => (host.includes(':') ? `[${host}]` : host);

function createApp(context: RouteContext, custom: RequestHandler): Express {
  const { BODY_BYTES_MAX } = context.config;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');

  /** A connection that is still open when the server stops brings no new work. */
  const refuseWhenStopping: RequestHandler = (_request, response, next) => {
    if (!context.open.stopping) {
      next();
      return;
    }
    response.setHeader('connection', 'close');
    response.setHeader('retry-after', '1');
    sendText(response, 503, 'This server is stopping, try again');
  };

  // In front of CORS and the project's own authentication: it has its own, and no other page may read it.
  if (context.http?.disabled.includes('meta') !== true)
    app.use(OPS_PATH, refuseWhenStopping, opsRoutes(context));
  const authenticate = authentication(context.auth);
  app.use(traceRequests, cors(context.http?.cors), refuseWhenStopping);
  // The project may open its own routes; the API stays behind.
  if (context.http?.customRouteAuth === false) app.use(custom, authenticate);
  else app.use(authenticate, custom);
  app.use(
    express.json({
      limit: BODY_BYTES_MAX,
      // A bare string or number reaches the schema, which says what it expected.
      strict: false,
      type: ({ headers }) => isJson(headers['content-type']),
    }),
  );
  app.use(routes(context));
  app.use(notFound);
  app.use(problemHandler(context.log, BODY_BYTES_MAX));
  return app;
}

/** Some clients send JSON as text/plain, which spares browsers a preflight, or name no type. */
function isJson(contentType: string | undefined): boolean {
  if (contentType === undefined) return true;
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  return type.startsWith('text/plain') || type === 'application/json' || type.endsWith('+json');
}
