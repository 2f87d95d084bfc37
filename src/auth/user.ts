/** Who asks, as the project's `authenticate` says and as its handlers and graphs see it. */
import { AuthFailedError } from './refusal.ts';

export interface AuthUser {
  readonly identity: string;
  readonly display_name: string;
  readonly is_authenticated: boolean;
  readonly permissions: readonly string[];
  /** What else the project wants to know of its users. */
  readonly [field: string]: unknown;
}

/** LangGraph Studio, where the deployment lets it in. */
export const STUDIO_USER: AuthUser = Object.freeze({
  kind: 'StudioUser',
  identity: 'langgraph-studio-user',
  display_name: 'langgraph-studio-user',
  is_authenticated: true,
  permissions: Object.freeze([]),
});

/** Of what is compared, stored and part of keys. */
const IDENTITY_LENGTH_MAX = 10_000;
/** What jsonb would refuse, or not tell apart. */
const UNSTORABLE = /\0|\p{Surrogate}/u;

/** @param answer of `authenticate`. @throws {AuthFailedError} */
export function userOf(answer: unknown): AuthUser {
  if (typeof answer === 'string') return userOf({ identity: answer });
  const fields = typeof answer === 'object' && answer !== null ? { ...answer } : {};
  const { identity, display_name, is_authenticated, permissions } = fields as Partial<
    Record<string, unknown>
  >;
  if (
    typeof identity !== 'string' ||
    identity === '' ||
    identity.length > IDENTITY_LENGTH_MAX ||
    UNSTORABLE.test(identity)
  )
    throw new AuthFailedError(
      `authenticate: expected a text, or an object whose identity is a text of 1 to ${IDENTITY_LENGTH_MAX} characters that Postgres can store`,
    );
  return {
    ...fields,
    identity,
    display_name: typeof display_name === 'string' ? display_name : identity,
    is_authenticated: is_authenticated !== false,
    permissions: Array.isArray(permissions)
      ? permissions.filter((permission) => typeof permission === 'string')
      : [],
  };
}
