/**
 * Asks the project's auth module: who is this, and may they. Knows nothing of HTTP but the Request that `authenticate`
 * wants. Every answer that is not a clear yes is a no.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { EVERYTHING } from '../postgres/visibility.ts';
import type { Visibility } from '../postgres/visibility.ts';
import type { AuthObject } from './auth-object.ts';
import { handlerFor, partsOf } from './events.ts';
import type { AuthEvent } from './events.ts';
import { visibilityOf } from './filter.ts';
import { AuthFailedError, forbidden, refusalOf } from './refusal.ts';
import { STUDIO_USER, userOf } from './user.ts';
import type { AuthUser } from './user.ts';

/** How long the project may take for one answer; identity providers hang. */
const ANSWER_MS_MAX = 30_000;

/** The caller may, with `value` as its handler has left it, for the rows that it may see. */
export interface Permit<V extends object> {
  readonly visible: Visibility;
  readonly value: V;
}

/** What one caller may do. */
export interface Access {
  /** undefined: no auth is configured. */
  readonly user: AuthUser | undefined;
  /**
   * @param value what is to be done, under the SDK's names; handlers may change it
   * @throws {AuthRefusedError | AuthFailedError}
   */
  ask<V extends object>(event: AuthEvent, value: V): Promise<Permit<V>>;
}

/** Where no auth is configured, and for what the server does by itself. */
export const FREE: Access = Object.freeze({
  user: undefined,
  ask: <V extends object>(_event: AuthEvent, value: V): Promise<Permit<V>> =>
    Promise.resolve({ visible: EVERYTHING, value }),
});

export interface AuthGate {
  /** @throws {AuthRefusedError | AuthFailedError} */
  authenticate(request: Request): Promise<AuthUser>;
  accessOf(user: AuthUser): Access;
}

export interface AuthGateOptions {
  /** Whether `x-auth-scheme: langsmith` is let in as LangGraph Studio: nobody checks who sends it. */
  readonly studio: boolean;
  /** Shorter in tests, ms. */
  readonly answerMsMax?: number;
}

export function createAuthGate(auth: AuthObject, options: AuthGateOptions): AuthGate {
  const { answerMsMax = ANSWER_MS_MAX } = options;

  /** @throws {AuthRefusedError | AuthFailedError} */
  async function answerOf(what: string, ask: () => unknown): Promise<unknown> {
    const over = new AbortController();
    try {
      return await Promise.race([
        Promise.resolve().then(ask),
        delay(answerMsMax, undefined, { signal: over.signal }).then(() => {
          throw new AuthFailedError(`${what}: no answer within ${answerMsMax / 1_000} s`);
        }),
      ]);
    } catch (cause) {
      throw refusalOf(cause, what);
    } finally {
      over.abort();
    }
  }

  async function ask<V extends object>(
    user: AuthUser,
    event: AuthEvent,
    value: V,
  ): Promise<Permit<V>> {
    const handler = handlerFor(auth.handlers, event);
    if (handler === undefined) return { visible: EVERYTHING, value };
    const { resource, action } = partsOf(event);
    const { permissions } = user;
    const context = { event, resource, action, value, user, permissions };
    const answer = await answerOf(event, () => handler(context));
    const visible = visibilityOf(answer);
    // Items have no metadata: a filter that cannot be kept is no permission.
    if (resource === 'store' && visible.metadata !== null) throw forbidden();
    return { visible, value };
  }

  return {
    async authenticate(request) {
      if (options.studio && request.headers.get('x-auth-scheme') === 'langsmith')
        return STUDIO_USER;
      return userOf(await answerOf('authenticate', () => auth.authenticate(request)));
    },
    accessOf: (user) => ({ user, ask: (event, value) => ask(user, event, value) }),
  };
}
