/**
 * Who may see /ops. With OPS_USER and OPS_PASSWORD: who knows them. Without: in development, who sits at this
 * machine; in production nobody. `Host` must be a loopback name then, so that a page from elsewhere
 * that has its own name point here (DNS rebinding) sees nothing; what changes something must come from our own pages.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import type { RequestHandler } from 'express';
import { sendText } from '../problem.ts';
import { createTries } from './tries.ts';

export interface OpsAccess {
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly development: boolean;
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

export function opsAccess({ user, password, development }: OpsAccess): RequestHandler {
  const expected = user === undefined || password === undefined ? undefined : { user, password };
  const wanted = expected && digest(`${expected.user}:${expected.password}`);
  const tries = createTries();

  return async (request, response, next) => {
    response.setHeader('cache-control', 'no-store');
    if (!['GET', 'HEAD'].includes(request.method) && !isFromOurPages(request.headers)) {
      sendText(response, 403, 'Changes are taken from the pages of /ops only');
      return;
    }
    if (wanted === undefined) {
      const local =
        isLoopback(request.socket.remoteAddress) && isLoopbackHost(request.headers.host);
      if (development && local) next();
      else
        sendText(
          response,
          403,
          'Set OPS_USER and OPS_PASSWORD to open /ops. Without them it is there in development only, for this machine.',
        );
      return;
    }
    if (await tries.refused(request, response)) return;
    const given = basicCredentials(request.headers.authorization);
    // Digests, because timingSafeEqual wants equal lengths, and a length tells something, too.
    if (given !== undefined && timingSafeEqual(digest(given), wanted)) {
      next();
      return;
    }
    // Browsers ask without any at first.
    if (request.headers.authorization !== undefined) await tries.wrong(request, response);
    response.setHeader('www-authenticate', 'Basic realm="millrace ops", charset="UTF-8"');
    sendText(response, 401, 'Unauthorized');
  };
}

/** `user:password` */
function basicCredentials(header: string | undefined): string | undefined {
  const [, encoded] = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(header ?? '') ?? [];
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString('utf8');
}

/** Browsers send credentials along with requests of any page: where those come from, they say themselves. */
export function isFromOurPages(headers: Record<string, string | string[] | undefined>): boolean {
  const { origin, host } = headers;
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return false;
  if (origin === undefined) return true;
  return URL.canParse(String(origin)) && new URL(String(origin)).host === host;
}

const isLoopback = (address: string | undefined): boolean =>
  address !== undefined && /^(::1|(::ffff:)?127\.\d+\.\d+\.\d+)$/.test(address);

/** @param host with or without a port */
export function isLoopbackHost(host: string | undefined): boolean {
  if (host === undefined || !URL.canParse(`http://${host}`)) return false;
  const name = new URL(`http://${host}`).hostname.replace(/^\[|\]$/g, '');
  return name === 'localhost' || (isIP(name) !== 0 && isLoopback(name));
}
