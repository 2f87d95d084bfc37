/** A receiver of webhooks: keeps what it gets and answers as it is told. */
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly body: Record<string, unknown>;
}

export interface Receiver {
  readonly url: string;
  readonly received: Received[];
  /** Answers the next request; when none is left, requests are answered with 200. */
  readonly answers: ((response: ServerResponse) => void)[];
  /** What each request for a path is answered with, and takes none of `answers`. */
  readonly statuses: Map<string, number>;
  of(path: string): Received[];
  stop(): Promise<void>;
}

export const status =
  (code: number, headers: Record<string, string> = {}, text = '') =>
  (response: ServerResponse): void => {
    response.writeHead(code, headers).end(text);
  };

/** 101: for Node's client neither an answer nor an error. */
export const switchProtocols = (response: ServerResponse): void => {
  response.socket?.end(
    'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n',
  );
};

/** Never answers. */
export const hang = (): void => undefined;

export async function startReceiver(): Promise<Receiver> {
  const received: Received[] = [];
  const answers: Receiver['answers'] = [];
  const statuses: Receiver['statuses'] = new Map();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      received.push({
        path: request.url ?? '',
        headers: request.headers,
        text,
        body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
      });
      if (request.url?.startsWith('/hang') === true) return;
      const always = statuses.get(request.url ?? '');
      if (always !== undefined) response.writeHead(always).end();
      else (answers.shift() ?? status(200))(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    received,
    answers,
    statuses,
    of: (path) => received.filter((request) => request.path === path),
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
