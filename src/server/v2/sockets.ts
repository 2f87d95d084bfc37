/** WebSockets of protocol v2: GET /threads/:id/stream/events, upgraded. Everything else is refused. */
import type { IncomingMessage, Server } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { RouteContext } from '../context.ts';
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
  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    if (!(socket instanceof Socket)) throw new TypeError('an HTTP server without sockets');
    const { pathname } = new URL(request.url ?? '/', 'http://host');
    const id = PATH.exec(pathname)?.[1];
    const path = ThreadPath.safeParse({ thread_id: id });
    if (id === undefined) refuse(socket, '404 Not Found');
    else if (!path.success) refuse(socket, '400 Bad Request');
    else if (context.open.stopping) refuse(socket, '503 Service Unavailable');
    else
      sockets.handleUpgrade(request, socket, head, (ws) => {
        openConnection(context, ws, socket, path.data.thread_id);
      });
  });
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
}
