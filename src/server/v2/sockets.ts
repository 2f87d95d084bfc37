/** WebSockets of protocol v2: GET /threads/:id/stream/events, upgraded. Everything else is refused. */
import { STATUS_CODES } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, Server } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { FREE } from '../../auth/gate.ts';
import type { Access, AuthGate } from '../../auth/gate.ts';
import { AuthRefusedError } from '../../auth/refusal.ts';
import { ThreadNotFoundError } from '../../runs/run.ts';
import { isForeignThread, threadNotFound } from '../../threads/thread.ts';
import { webRequestOf } from '../auth/web-request.ts';
import type { RouteContext } from '../context.ts';
import { originRule } from '../cors.ts';
import { PostgresUnavailableError } from '../postgres-guard.ts';
import { ThreadPath } from '../schemas/thread.ts';
import { openConnection } from './connection.ts';

const PATH = /^\/threads\/([^/]+)\/stream\/events$/;

export function acceptSockets(context: RouteContext, http: Server): void {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: context.config.BODY_BYTES_MAX,
    // Events are small and many: compressing each costs more than it saves.
    perMessageDeflate: false,
  });
  const mayCall = originRule(context.http?.cors);
  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    if (!(socket instanceof Socket)) throw new TypeError('an HTTP server without sockets');
    const id = PATH.exec(pathOf(request.url ?? '/'))?.[1];
    const path = ThreadPath.safeParse({ thread_id: id });
    if (id === undefined) refuse(socket, 404);
    else if (!path.success) refuse(socket, 400);
    else if (!isFromAllowedPage(request.headers, mayCall)) refuse(socket, 403);
    else if (context.open.stopping) refuse(socket, 503);
    else if (context.auth === undefined) upgrade(FREE, path.data.thread_id);
    else
      admit(context, context.auth, request, path.data.thread_id).then(
        (access) => {
          if (context.open.stopping) refuse(socket, 503);
          else upgrade(access, path.data.thread_id);
        },
        (error: unknown) => {
          refuseFor(context, socket, error);
        },
      );

    function upgrade(access: Access, threadId: string): void {
      if (!(socket instanceof Socket) || socket.destroyed) return;
      sockets.handleUpgrade(request, socket, head, (ws) => {
        openConnection(context, access, ws, socket, threadId);
      });
    }
  });
}

/**
 * Browsers open WebSockets to anywhere, with cookies and without asking CORS: what langgraph.json says of origins
 * (`http.cors`) is kept here. Who sends no origin is no browser.
 */
function isFromAllowedPage(
  headers: IncomingHttpHeaders,
  mayCall: (origin: string) => boolean,
): boolean {
  const { origin, host } = headers;
  if (origin === undefined || mayCall(origin) || headers['sec-fetch-site'] === 'same-origin')
    return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}

/**
 * As it came, like Express compares it. Nothing here may throw: it would end the process, whoever has sent it, and
 * what `//` or `http://[` name is no URL.
 */
const pathOf = (url: string): string => url.split('?', 1)[0] ?? '';

/**
 * An upgrade passes no middleware, so who asks is found out here.
 * @throws {AuthRefusedError | AuthFailedError | ThreadNotFoundError}
 */
async function admit(
  context: RouteContext,
  auth: AuthGate,
  request: IncomingMessage,
  threadId: string,
): Promise<Access> {
  const access = auth.accessOf(await auth.authenticate(webRequestOf(request)));
  const { visible } = await access.ask('threads:read', { thread_id: threadId });
  if (await context.guard.watch(isForeignThread(context.pool, threadId, visible)))
    throw threadNotFound(threadId);
  return access;
}

function refuseFor({ log }: RouteContext, socket: Socket, error: unknown): void {
  if (error instanceof AuthRefusedError) {
    refuse(socket, error.status, error.message, error.headers);
    return;
  }
  if (error instanceof ThreadNotFoundError) {
    refuse(socket, 404, error.message);
    return;
  }
  log.error('websocket refused', { error });
  refuse(socket, error instanceof PostgresUnavailableError ? 503 : 500);
}

function refuse(socket: Duplex, status: number, text = '', headers = new Headers()): void {
  const reason = STATUS_CODES[status] ?? 'Refused';
  const lines = [...headers].map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\n${lines}connection: close\r\ncontent-type: text/plain; charset=UTF-8\r\n` +
      `content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}
