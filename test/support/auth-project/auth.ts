/** Users ada and bob see what is theirs; `x-api-key: <name>` or `Authorization: Bearer <name>` says who it is. */
import { Auth, HTTPException } from '@langchain/langgraph-sdk/auth';

const NAMES = ['ada', 'bob', 'root', 'banned'];
/** What each may no longer do. */
const REVOKED = new Map<string, string>();

export const auth = new Auth()
  .authenticate((request) => {
    const { headers } = request;
    const name = headers.get('x-api-key') ?? headers.get('authorization')?.replace('Bearer ', '');
    if (name === 'fault')
      throw Object.assign(new Error('secret of the identity provider'), { status: 404 });
    if (name == null || !NAMES.includes(name))
      throw new HTTPException(401, {
        message: `Who are you, ${request.method} ${new URL(request.url).pathname}?`,
        headers: { 'www-authenticate': 'Bearer realm="mill"' },
      });
    return { identity: name, permissions: [`${name}:all`], token: `token-of-${name}` };
  })
  .on('*', ({ event, user, value }) => {
    if (user.identity === 'root') return true;
    if (user.identity === 'banned' || REVOKED.get(user.identity) === event) return false;
    const fields = value as { metadata?: Record<string, unknown> | null };
    if ('metadata' in fields) fields.metadata = { ...fields.metadata, owner: user.identity };
    return { owner: user.identity };
  })
  .on('store', ({ user, value }) => {
    if (user.identity === 'banned') return false;
    const place = value as { namespace?: string[] | null };
    place.namespace = ['users', user.identity, ...(place.namespace ?? [])];
    return undefined;
  });

/** For tests: as if an administrator did. */
export function revoke(name: string, event: string | undefined): void {
  if (event === undefined) REVOKED.delete(name);
  else REVOKED.set(name, event);
}
