/** Protocol v2 and thread streams: another's thread, one that is not there yet, and the WebSocket's way past the middleware. */
import { request as httpRequest } from 'node:http';
import { WebSocket } from 'ws';
import { newId } from '../../../src/ids.ts';
import { revoke } from '../../support/auth-project/auth.ts';
import { as, startAuthServer } from '../../support/auth-project/people.ts';
import type { Call } from '../../support/auth-project/people.ts';
import { openSseClient } from '../../support/sse-client.ts';
import type { SseClient } from '../../support/sse-client.ts';
import type { TestServer } from '../../support/server.ts';
import { ALL_CHANNELS, ended, openEvents, openSocket } from '../../support/v2-client.ts';
import type { EventStream } from '../../support/v2-client.ts';
import { waitUntil } from '../../support/wait-until.ts';

let server: TestServer;
let ada: Call, bob: Call;
const open: (SseClient | { close(): void })[] = [];
beforeAll(async () => {
  server = await startAuthServer();
  ada = as(server, 'ada');
  bob = as(server, 'bob');
});
afterEach(() => {
  for (const client of open.splice(0)) client.close();
});
afterAll(() => server.stop());

const of = (name: string): Record<string, string> => ({ authorization: `Bearer ${name}` });
const start = (call: Call, threadId: string): ReturnType<Call> =>
  call('POST', `/threads/${threadId}/commands`, {
    id: 1,
    method: 'run.start',
    params: { assistant_id: 'agent', input: { n: 1 } },
  });
async function events(name: string, threadId: string): Promise<EventStream> {
  const stream = await openEvents(server.url, threadId, undefined, of(name));
  open.push(stream);
  return stream;
}

/** What answers an upgrade that is refused. */
function upgrade(
  threadId: string,
  headers: Record<string, string>,
): Promise<{ status: number; headers: object; text: string }> {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(
      `${server.url.replace('http', 'ws')}/threads/${threadId}/stream/events`,
      {
        headers,
      },
    );
    ws.once('error', reject);
    ws.once('open', () => {
      ws.terminate();
      reject(new Error('let in'));
    });
    ws.once('unexpected-response', (_request, response) => {
      let text = '';
      response.on('data', (data: Buffer) => (text += data.toString()));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text });
      });
    });
  });
}

async function startedThread(): Promise<string> {
  const threadId = newId();
  expect((await start(ada, threadId)).status).toBe(200);
  await ended(await events('ada', threadId));
  return threadId;
}

test('run.start makes a thread that is the caller’s', async () => {
  const threadId = await startedThread();
  expect((await ada('GET', `/threads/${threadId}`)).json()).toMatchObject({
    metadata: { owner: 'ada' },
  });
  expect((await bob('GET', `/threads/${threadId}`)).status).toBe(404);
});

test('another’s thread has no streams', async () => {
  const threadId = await startedThread();
  expect((await events('bob', threadId)).status).toBe(404);
  const modes = await openSseClient(`${server.url}/threads/${threadId}/stream`, {
    headers: of('bob'),
  });
  expect(modes.status).toBe(404);
  const nobody = await openEvents(server.url, threadId);
  expect(nobody.status).toBe(401);
});

test('a stream on a thread that is not there shows nothing when it becomes another’s', async () => {
  const threadId = newId();
  const spy = await events('bob', threadId);
  const modes = await openSseClient(
    `${server.url}/threads/${threadId}/stream?stream_mode=run_modes`,
    { headers: of('bob') },
  );
  open.push(modes);
  expect([spy.status, modes.status]).toEqual([200, 200]);
  expect((await start(ada, threadId)).status).toBe(200);
  await ended(await events('ada', threadId));
  await waitUntil(() => spy.over !== undefined && modes.over !== undefined, {
    timeoutMs: 20_000,
    what: 'both to be shut',
  });
  expect(spy.frames).toEqual([]);
  expect(modes.frames).toEqual([]);
});

test('and all of it when it becomes one’s own', async () => {
  const threadId = newId();
  const stream = await events('ada', threadId);
  await start(ada, threadId);
  expect((await ended(stream)).length).toBeGreaterThan(2);
});

describe('the WebSocket', () => {
  test('nobody is refused as over HTTP', async () => {
    const { status, headers, text } = await upgrade(newId(), {});
    expect([status, text.startsWith('Who are you, GET /threads/')]).toEqual([401, true]);
    expect(headers).toMatchObject({ 'www-authenticate': 'Bearer realm="mill"' });
    expect((await upgrade(newId(), of('banned'))).status).toBe(403);
    expect((await upgrade(newId(), of('fault'))).status).toBe(500);
    expect(await upgrade(newId(), of('fault'))).toMatchObject({ text: '' });
  });

  test('another’s thread is none', async () => {
    const threadId = await startedThread();
    expect((await upgrade(threadId, of('bob'))).status).toBe(404);
  });

  test('its owner gets commands and events', async () => {
    const socket = await openSocket(server.url, newId(), of('ada'));
    await socket.send('subscription.subscribe', { channels: ALL_CHANNELS });
    await socket.send('run.start', { assistant_id: 'agent', input: { n: 1 } });
    const all = await ended(socket);
    expect(JSON.stringify(all)).toContain('"ada"');
    expect(JSON.stringify(all)).not.toContain('langgraph_auth');
    socket.ws.terminate();
  });

  test('one that waits for a thread is shut when it becomes another’s', async () => {
    const threadId = newId();
    const spy = await openSocket(server.url, threadId, of('bob'));
    await spy.send('subscription.subscribe', { channels: ALL_CHANNELS });
    await start(ada, threadId);
    await waitUntil(() => spy.closed, { timeoutMs: 20_000, what: 'the socket to be shut' });
    expect(spy.events).toEqual([]);
  });

  test('each command asks anew', async () => {
    const threadId = await startedThread();
    const socket = await openSocket(server.url, threadId, of('ada'));
    try {
      expect(await socket.send('state.get', {})).toMatchObject({ type: 'success' });
      revoke('ada', 'threads:read');
      expect(await socket.send('state.get', {})).toMatchObject({
        type: 'error',
        error: 'permission_denied',
      });
      expect(await socket.send('subscription.subscribe', { channels: ALL_CHANNELS })).toMatchObject(
        { type: 'error', error: 'permission_denied' },
      );
      expect(socket.events).toEqual([]);
    } finally {
      revoke('ada', undefined);
      socket.ws.terminate();
    }
  });
});

describe('a replay after the permission was taken away', () => {
  test('[50] is refused on every way, for a stream that was read before', async () => {
    const thread = (await ada('POST', '/threads', {})).json() as { thread_id: string };
    const runs = `/threads/${thread.thread_id}/runs`;
    const stream = await ada('POST', `${runs}/stream`, {
      assistant_id: 'agent',
      input: { n: 1 },
      stream_resumable: true,
    });
    expect(stream.text).toContain('event: values');
    const location = stream.headers.get('content-location') ?? '';
    const replay = (name: string, path: string, id = '0'): Promise<Response> =>
      fetch(server.url + path, { headers: { ...of(name), 'last-event-id': id } });
    const allowed = await replay('ada', `${location}/stream`);
    expect([allowed.status, await allowed.text()]).toEqual([
      200,
      expect.stringContaining('event: values'),
    ]);
    const run = location.split('/').at(-1) ?? '';
    const ways = [
      `${location}/stream`,
      `/runs/${run}/stream`,
      `/threads/${thread.thread_id}/stream`,
    ];
    revoke('ada', 'threads:read');
    try {
      for (const way of [...ways, `${location}/join`])
        expect((await replay('ada', way)).status).toBe(403);
    } finally {
      revoke('ada', undefined);
    }
    // The thread is given to somebody else: what was ada's is nobody's cache.
    await server.core.pool.query(
      `UPDATE threads SET metadata = metadata || '{"owner": "root"}' WHERE thread_id = $1`,
      [thread.thread_id],
    );
    for (const name of ['ada', 'bob'])
      for (const way of ways) {
        const answer = await replay(name, way);
        const text = await answer.text();
        // Official clients want an event where the thread is named.
        expect([200, 404]).toContain(answer.status);
        expect(text).toMatch(/404: Thread not found|not found$/);
        expect(text).not.toMatch(/event: (values|metadata)/);
      }
  });

  test('reading does not allow to cancel by leaving', async () => {
    const { thread_id: id } = (await ada('POST', '/threads', {})).json() as { thread_id: string };
    const run = (await ada('POST', `/threads/${id}/runs`, {
      assistant_id: 'agent',
      after_seconds: 60,
    })) as { json(): unknown };
    const { run_id: runId } = run.json() as { run_id: string };
    revoke('ada', 'threads:update');
    try {
      for (const way of ['stream', 'join'])
        expect(
          (await ada('GET', `/threads/${id}/runs/${runId}/${way}?cancel_on_disconnect=1`)).status,
        ).toBe(403);
    } finally {
      revoke('ada', undefined);
    }
  });
});

test('no path leads around the authentication of custom routes', async () => {
  const statusOf = (path: string): Promise<number> =>
    new Promise((resolve, reject) => {
      httpRequest(server.url, { path }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      })
        .once('error', reject)
        .end();
    });
  for (const path of [
    '/whoami',
    '/ui/../whoami',
    '/ui/%2e%2e/whoami',
    '/ui/x/../../whoami',
    '/ui\\..\\whoami',
    '/info/../whoami',
    '//whoami',
    'http://elsewhere/whoami',
    '/WHOAMI',
  ])
    expect([path, await statusOf(path)]).toEqual([path, 401]);
});
