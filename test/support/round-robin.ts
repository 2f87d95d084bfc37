/**
 * A load balancer: each request, and each WebSocket, goes to the next server; answers say in `x-served-by` which it was. It can
 * break what is open.
 */
import { createServer, request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
}

export interface RoundRobin {
  readonly url: string;
  /** Every request so far, in order. */
  readonly seen: readonly Seen[];
  /** Breaks all open connections of clients. */
  cut(): void;
  close(): Promise<void>;
}

/** Listens on a free port of 127.0.0.1. @param targets URLs of servers */
export async function startRoundRobin(targets: readonly string[]): Promise<RoundRobin> {
  const seen: Seen[] = [];
  const clients = new Set<Duplex>();
  let turn = 0;
  const next = (incoming: IncomingMessage): { target: URL; index: number } => {
    const { method = '', url: path = '', headers } = incoming;
    seen.push({ method, path, headers });
    const index = turn++ % targets.length;
    return { target: new URL(path, targets[index]), index };
  };

  const server = createServer((incoming, outgoing) => {
    const { method, headers } = incoming;
    // The client's own Host, as a load balancer keeps it; fields that lead to addresses are made of it.
    const { target, index } = next(incoming);
    const forwarded = request(target, { method, headers, agent: false }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, { ...answer.headers, 'x-served-by': index });
      outgoing.flushHeaders();
      answer.pipe(outgoing);
      answer.on('error', () => outgoing.destroy());
    });
    forwarded.on('error', () => outgoing.destroy());
    outgoing.on('close', () => forwarded.destroy());
    incoming.pipe(forwarded);
  });
  server.on('connection', (socket) => {
    clients.add(socket);
    socket.on('close', () => clients.delete(socket));
  });
  server.on('upgrade', (incoming, client, head) => {
    const { target } = next(incoming);
    const upstream = connect(Number(target.port), target.hostname);
    const fields = incoming.rawHeaders.map((text, n) => text + (n % 2 === 0 ? ': ' : '\r\n'));
    upstream.write(`GET ${incoming.url ?? ''} HTTP/1.1\r\n${fields.join('')}\r\n`);
    upstream.write(head);
    upstream.pipe(client).pipe(upstream);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const)
      one.on('error', () => other.destroy()).on('close', () => other.destroy());
  });
  // Longer than clients keep a connection: none is closed just when it is used again.
  server.keepAliveTimeout = 120_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;

  function cut(): void {
    for (const client of clients) client.destroy();
  }
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    cut,
    async close() {
      const closed = new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
      cut();
      await closed;
    },
  };
}
