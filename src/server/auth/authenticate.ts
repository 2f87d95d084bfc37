/** Who asks: found out once for each request, before the project's routes and the API see it. */
import type { IncomingMessage } from 'node:http';
import type { RequestHandler } from 'express';
import type { AuthGate } from '../../auth/gate.ts';
import type { AuthUser } from '../../auth/user.ts';
import { isPublic } from './public-paths.ts';
import { webRequestOf } from './web-request.ts';

/** Apart from the request, where a middleware of the project's could write. */
const USERS = new WeakMap<IncomingMessage, AuthUser>();

/** @returns undefined when nobody has authenticated the request */
export const userOfRequest = (request: IncomingMessage): AuthUser | undefined => USERS.get(request);

export function authentication(gate: AuthGate | undefined): RequestHandler {
  return async (request, _response, next) => {
    if (gate !== undefined && !USERS.has(request) && !isPublic(request.method, request.path))
      USERS.set(request, await gate.authenticate(webRequestOf(request)));
    next();
  };
}
