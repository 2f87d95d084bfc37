/**
 * The project's `Auth` object (langgraph.json, `auth.path`). It is known by shape: the class is that of the
 * project's own copy of @langchain/langgraph-sdk.
 */
import type { AuthSpec } from '../graphs/langgraph-json.ts';
import { loadExport } from '../graphs/load.ts';
import { AuthInvalidError } from './refusal.ts';

export type Authenticate = (request: Request) => unknown;
/** Gets `{event, resource, action, value, user, permissions}`; may change `value`. */
export type AuthHandler = (context: object) => unknown;

export interface AuthObject {
  readonly authenticate: Authenticate;
  /** By event, resource, `*:action` or `*`. */
  readonly handlers: Readonly<Record<string, AuthHandler | undefined>>;
}

/** Where the SDK keeps what was registered. */
const CACHE = '~handlerCache';

/**
 * @throws {GraphInvalidError} the module cannot be loaded, or has no such export
 * @throws {AuthInvalidError} what it exports is no Auth object, or lets everybody in
 */
export async function loadAuth(spec: AuthSpec): Promise<AuthObject> {
  const { origin } = spec;
  const value = await loadExport(spec);
  const cache =
    typeof value === 'object' && value !== null && CACHE in value ? value[CACHE] : undefined;
  if (typeof cache !== 'object' || cache === null)
    throw new AuthInvalidError(
      `${origin}: expected an Auth object of @langchain/langgraph-sdk/auth, found ${value === null ? 'null' : typeof value}`,
    );
  const { authenticate, callbacks = {} } = cache as {
    authenticate?: unknown;
    callbacks?: Record<string, unknown>;
  };
  if (typeof authenticate !== 'function')
    throw new AuthInvalidError(
      `${origin}: the Auth object has no authenticate handler, so it would let everybody in`,
    );
  for (const [event, handler] of Object.entries(callbacks))
    if (typeof handler !== 'function')
      throw new AuthInvalidError(`${origin}: the handler of "${event}" is no function`);
  return {
    authenticate: authenticate as Authenticate,
    handlers: callbacks as Record<string, AuthHandler>,
  };
}
