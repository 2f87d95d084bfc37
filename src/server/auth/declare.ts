/**
 * Every route declares what it asks the project's authorization: it is wrapped in `asks`, `signedIn` or `open`. One that is
 * in none of them stops the start, and one that answers without having asked is broken off, so a new route that
 * forgets is seen at once and shows nothing. What it may show it gets by asking: see Visibility.
 */
import type { Request, RequestHandler, Response, Router } from 'express';
import { AppError } from '../../errors.ts';
import type { AuthEvent } from '../../auth/events.ts';
import { FREE } from '../../auth/gate.ts';
import type { Access, AuthGate } from '../../auth/gate.ts';
import { AuthFailedError, AuthRefusedError } from '../../auth/refusal.ts';
import type { Log } from '../../telemetry/log.ts';
import { userOfRequest } from './authenticate.ts';

/** A route's handler: it asks `access` before it reads or changes anything. */
export type AskingHandler = (
  request: Request,
  response: Response,
  access: Access,
) => void | Promise<void>;

export type Declaration = 'open' | 'signed in' | readonly AuthEvent[];

const DECLARED = new WeakMap<object, Declaration>();

/** What a handler has declared; undefined: nothing. */
export const declarationOf = (handler: object): Declaration | undefined => DECLARED.get(handler);

/** A route that asks nobody's permission. Programs, not requests, meet this. */
export class RouteUndeclaredError extends AppError {
  readonly code = 'config_invalid';
}

export interface AuthDeps {
  /** undefined: everybody may do everything. */
  readonly auth?: AuthGate | undefined;
  readonly log: Log;
}

/** For everybody. */
export function open(handler: RequestHandler): RequestHandler {
  DECLARED.set(handler, 'open');
  return handler;
}

/** For everybody who has been authenticated. */
export function signedIn({ auth }: AuthDeps, handler: RequestHandler): RequestHandler {
  return declared('signed in', (request, response, next) => {
    if (auth !== undefined) signedInUser(auth, request);
    return handler(request, response, next);
  });
}

/** For whom the project's handlers of `events` let through; `handler` asks them. */
export function asks(
  deps: AuthDeps,
  events: AuthEvent | readonly AuthEvent[],
  handler: AskingHandler,
): RequestHandler {
  const allowed = typeof events === 'string' ? [events] : events;
  return declared(allowed, (request, response) => {
    const { auth } = deps;
    if (auth === undefined) return handler(request, response, FREE);
    const access = signedInUser(auth, request);
    let asked = false;
    refuseUnasked(deps, request, response, () => asked);
    return handler(request, response, {
      user: access.user,
      async ask(event, value) {
        if (!allowed.includes(event))
          throw new AuthFailedError(`${request.method} ${request.path} has not declared ${event}`);
        const permit = await access.ask(event, value);
        asked = true;
        return permit;
      },
    });
  });
}

/** @throws {RouteUndeclaredError} */
export function assertDeclared(router: Pick<Router, 'stack'>): void {
  for (const { route } of router.stack)
    for (const { handle, method } of route?.stack ?? [])
      if (!DECLARED.has(handle))
        throw new RouteUndeclaredError(
          `${method} ${route?.path ?? ''} declares nothing: wrap its handler in asks, signedIn or open`,
        );
}

function declared(declaration: Declaration, handler: RequestHandler): RequestHandler {
  DECLARED.set(handler, declaration);
  return handler;
}

/** @throws {AuthRefusedError} a way past `authenticate` was found, and ends here */
function signedInUser(auth: AuthGate, request: Request): Access {
  const user = userOfRequest(request);
  if (user === undefined) throw new AuthRefusedError(401, 'Unauthorized');
  return auth.accessOf(user);
}

/** Nothing but an error leaves before somebody was asked. */
function refuseUnasked(
  { log }: AuthDeps,
  request: Request,
  response: Response,
  asked: () => boolean,
): void {
  const writeHead = response.writeHead.bind(response) as (...args: unknown[]) => Response;
  response.writeHead = ((...args: unknown[]) => {
    const status = typeof args[0] === 'number' ? args[0] : response.statusCode;
    if (asked() || status >= 400) return writeHead(...args);
    log.error('a route answers without having asked for permission', {
      method: request.method,
      path: request.path,
    });
    // What is written to a response that is destroyed goes nowhere.
    response.destroy();
    return writeHead(500);
  }) as Response['writeHead'];
}
