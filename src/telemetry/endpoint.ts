/** The port of a process that serves no API: metrics for Prometheus, /ok and /ready for who looks after it. */
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Service } from '../lib/service.ts';
import { exposition } from './exposition.ts';
import type { Metrics } from './metrics.ts';

export interface EndpointDeps {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly metrics: Metrics;
  /** What is wrong; empty: nothing. Must settle by itself. */
  check(): Promise<readonly string[]>;
}

export interface Endpoint extends Service {
  /** 0 before start. */
  readonly port: number;
}

export function createEndpoint(deps: EndpointDeps): Endpoint {
  let port = 0;
  const http = createServer((request, response) => {
    answer(request, response).catch(() => {
      response.destroy();
    });
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const send = (status: number, type: string, text: string): void => {
      response.writeHead(status, { 'content-type': type }).end(text);
    };
    const path = request.url?.split('?', 1)[0] ?? '';
    switch (path) {
      case '/metrics':
        send(200, deps.metrics.registry.contentType, await exposition(deps.metrics));
        return;
      case '/ok':
        send(200, 'application/json', '{"ok":true}');
        return;
      case '/ready': {
        const wrong = await deps.check();
        const status = wrong.length === 0 ? 'ready' : 'not ready';
        send(wrong.length === 0 ? 200 : 503, 'application/json', JSON.stringify({ status, wrong }));
        return;
      }
      default:
        send(404, 'text/plain', '404 Not Found');
    }
  }

  return {
    get port() {
      return port;
    },
    async start() {
      if (http.listening) return;
      await new Promise<void>((resolve, reject) => {
        http.once('error', reject);
        http.listen(deps.port, deps.host, resolve);
      });
      const address = http.address();
      port = typeof address === 'object' && address !== null ? address.port : 0;
    },
    async stop() {
      if (!http.listening) return;
      await new Promise((resolve) => {
        http.close(resolve);
        http.closeAllConnections();
      });
    },
  };
}
