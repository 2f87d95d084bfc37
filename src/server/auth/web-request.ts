/** A request as the project's `authenticate` gets it: URL, method and headers. The body stays on the socket. */
import type { IncomingMessage } from 'node:http';
import { AuthRefusedError } from '../../auth/refusal.ts';

/** @throws {AuthRefusedError} 400: it cannot be put as a Request */
export function webRequestOf(incoming: IncomingMessage): Request {
  const { method = 'GET', url = '/' } = incoming;
  const encrypted = 'encrypted' in incoming.socket && incoming.socket.encrypted === true;
  const host = incoming.headers.host ?? 'localhost';
  try {
    const headers = new Headers();
    for (const [name, value] of Object.entries(incoming.headers))
      for (const one of Array.isArray(value) ? value : [value ?? '']) headers.append(name, one);
    return new Request(new URL(url, `${encrypted ? 'https' : 'http'}://${host}`), {
      method,
      headers,
    });
  } catch (cause) {
    throw new AuthRefusedError(400, 'Bad Request', undefined, { cause });
  }
}
