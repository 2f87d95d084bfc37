/**
 * A load balancer in front of several servers: each request, and each upgrade, goes to the next one. Answers say in
 * `x-served-by` which it was.
 */
import { Agent, createServer, request as forward } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { createConnection } from 'node:net';
import type { Socket } from 'node:net';

export interface RoundRobin {
  readonly url: string;
  close(): Promise<void>;
}

/** Listens on a free port of 127.0.0.1. @param targets URLs of the servers */
export async function startRoundRobin(targets: readonly string[]): Promise<RoundRobin> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1_000 });
  const sockets = new Set<Socket>();
  let turn = 0;
  function next(): { hostname: string; port: string; index: string } {
    const index = turn++ % targets.length;
    const { hostname, port } = new URL(targets[index] ?? '');
    return { hostname, port, index: String(index) };
  }

  const server = createServer((request, response) => {
    const { hostname, port, index } = next();
    const { method, url: path, headers } = request;
    const upstream = forward({ hostname, port, method, path, headers, agent }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, [...answer.rawHeaders, 'x-served-by', index]);
      response.flushHeaders();
      answer.pipe(response);
      // A stream that is broken off arrives as one.
      answer.on('aborted', () => response.destroy());
    });
    upstream.on('error', () => {
      if (response.headersSent) response.destroy();
      else response.writeHead(502).end('no server answers');
    });
    // A client that goes is gone for the server, too.
    response.on('close', () => {
      if (!response.writableFinished) upstream.destroy();
    });
    request.pipe(upstream);
  });
  server.on('upgrade', (request: IncomingMessage, client: Socket, head: Buffer) => {
    const { hostname, port } = next();
    const upstream = createConnection({ host: hostname, port: Number(port) });
    sockets.add(client).add(upstream);
    upstream.write(`${request.method ?? 'GET'} ${request.url ?? '/'} HTTP/1.1\r\n`);
    for (let i = 0; i < request.rawHeaders.length; i += 2)
      upstream.write(`${request.rawHeaders[i] ?? ''}: ${request.rawHeaders[i + 1] ?? ''}\r\n`);
    upstream.write('\r\n');
    upstream.write(head);
    upstream.pipe(client).pipe(upstream);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const)
      socket.on('error', () => other.destroy()).on('close', () => other.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
        for (const socket of sockets) socket.destroy();
        agent.destroy();
      }),
  };
}
