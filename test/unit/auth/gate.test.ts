/** The project's answers and failures, as the gate passes them on. */
import { HTTPException } from '@langchain/langgraph-sdk/auth';
import type { AuthHandler } from '../../../src/auth/auth-object.ts';
import { createAuthGate } from '../../../src/auth/gate.ts';
import type { AuthGate } from '../../../src/auth/gate.ts';
import { userOf } from '../../../src/auth/user.ts';

const gateOf = (
  authenticate: (request: Request) => unknown,
  handlers: Record<string, AuthHandler> = {},
  options: { studio?: boolean; answerMsMax?: number } = {},
): AuthGate => createAuthGate({ authenticate, handlers }, { studio: false, ...options });
const request = (headers: Record<string, string> = {}): Request =>
  new Request('http://h/threads', { headers });

test('a text is an identity; an object is completed', async () => {
  expect(await gateOf(() => 'ada').authenticate(request())).toEqual({
    identity: 'ada',
    display_name: 'ada',
    is_authenticated: true,
    permissions: [],
  });
  const user = { identity: 'bob', permissions: ['p', 1], org: 'mill', display_name: 'Bob' };
  expect(await gateOf(() => Promise.resolve(user)).authenticate(request())).toEqual({
    ...user,
    permissions: ['p'],
    is_authenticated: true,
  });
});

test.each([undefined, null, '', {}, { identity: 7 }, { identity: 'a\0' }, 'x'.repeat(10_001), []])(
  '%j is no user',
  async (answer) => {
    await expect(gateOf(() => answer).authenticate(request())).rejects.toMatchObject({
      code: 'auth_failed',
    });
  },
);

test('an HTTPException is the answer; headers of the transport are not', async () => {
  const gate = gateOf(() => {
    throw new HTTPException(418, {
      message: 'no',
      headers: { 'www-authenticate': 'Bearer', 'content-length': '9' },
    });
  });
  const refused: unknown = await gate.authenticate(request()).catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: 'auth_refused', status: 418, message: 'no' });
  expect([...(refused as { headers: Headers }).headers]).toEqual([['www-authenticate', 'Bearer']]);
});

test.each([
  ['another error', new Error('secret')],
  ['an error with a status', Object.assign(new Error('secret'), { status: 404 })],
  ['an HTTPException that is no refusal', new HTTPException(200, { message: 'secret' })],
  ['what is no error', 'secret'],
])('%s is a failure that tells nothing', async (_what, thrown) => {
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a project may throw anything
  const gate = gateOf(() => Promise.reject(thrown));
  const error: unknown = await gate.authenticate(request()).catch((cause: unknown) => cause);
  expect(error).toMatchObject({ code: 'auth_failed' });
  expect((error as Error).message).not.toContain('secret');
});

test('who does not answer lets nobody in', async () => {
  const gate = gateOf(() => new Promise(() => undefined), {}, { answerMsMax: 20 });
  await expect(gate.authenticate(request())).rejects.toMatchObject({
    code: 'auth_failed',
    message: 'authenticate: no answer within 0.02 s',
  });
});

test('Studio is let in where it may be, and only there', async () => {
  const studio = request({ 'x-auth-scheme': 'langsmith' });
  const open = gateOf(() => 'ada', {}, { studio: true });
  expect(await open.authenticate(studio)).toMatchObject({ identity: 'langgraph-studio-user' });
  expect(await gateOf(() => 'ada').authenticate(studio)).toMatchObject({ identity: 'ada' });
});

test('a handler gets all there is to decide by, and may change the value', async () => {
  const seen: unknown[] = [];
  const gate = gateOf(() => 'ada', {
    threads: (context) => {
      seen.push(structuredClone(context));
      (context as { value: { metadata: object } }).value.metadata = { owner: 'ada' };
      return { owner: 'ada' };
    },
  });
  const user = userOf({ identity: 'ada', permissions: ['p'] });
  const permit = await gate.accessOf(user).ask('threads:create', { metadata: {} });
  expect(permit).toEqual({
    visible: { metadata: '{"owner":"ada"}' },
    value: { metadata: { owner: 'ada' } },
  });
  expect(seen).toEqual([
    {
      event: 'threads:create',
      resource: 'threads',
      action: 'create',
      value: { metadata: {} },
      user,
      permissions: ['p'],
    },
  ]);
});

test('without a handler everybody who is known may', async () => {
  const access = gateOf(() => 'ada', { assistants: () => false }).accessOf(userOf('ada'));
  expect(await access.ask('threads:read', {})).toMatchObject({ visible: { metadata: null } });
  await expect(access.ask('assistants:read', {})).rejects.toMatchObject({ status: 403 });
});

test('items have no metadata: a filter of theirs is no permission', async () => {
  const access = gateOf(() => 'ada', { '*': () => ({ owner: 'ada' }) }).accessOf(userOf('ada'));
  await expect(access.ask('store:get', { namespace: [], key: 'k' })).rejects.toMatchObject({
    status: 403,
  });
});
