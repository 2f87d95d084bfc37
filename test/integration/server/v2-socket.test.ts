/** Protocol v2 over a WebSocket: commands and several subscriptions on one connection. */
import { WebSocket } from 'ws';
import { newId } from '../../../src/ids.ts';
import { oneOfMany } from '../../support/one-of-many.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { ALL_CHANNELS, ended, openSocket, rootStates } from '../../support/v2-client.ts';
import type { Envelope, SocketClient } from '../../support/v2-client.ts';
import { v2Graph } from '../../support/v2-graph.ts';
import { waitUntil } from '../../support/wait-until.ts';

const HI = { messages: [{ role: 'user', content: 'hi' }] };
const ids = (events: readonly Envelope[]): (string | undefined)[] =>
  events.map(({ event_id: id }) => id);

describe.each([{ redis: true }, { redis: false }])('with redis: $redis', ({ redis }) => {
  let app: TestServer;
  const open: SocketClient[] = [];
  beforeAll(async () => {
    app = await startTestServer({ redis, graph: v2Graph });
  });
  afterEach(() => {
    for (const socket of open.splice(0)) socket.ws.terminate();
  });
  afterAll(() => app.stop());

  const socketOf = async (threadId: string): Promise<SocketClient> => {
    const socket = await openSocket(app.url, threadId);
    open.push(socket);
    return socket;
  };
  const start = (socket: SocketClient, input: object = HI): Promise<unknown> =>
    socket.send('run.start', { assistant_id: 'test', input });

  test('a subscription made before the first run gets all of it', async () => {
    const socket = await socketOf(newId());
    const answer = await socket.send('subscription.subscribe', { channels: ALL_CHANNELS });
    expect(answer).toMatchObject({
      type: 'success',
      result: { subscription_id: expect.any(String) as string, replayed_events: 0 },
    });
    expect(await start(socket)).toMatchObject({ result: { run_id: expect.any(String) as string } });
    const all = await ended(socket);
    expect(rootStates(all)).toEqual(['running', 'completed']);
    expect(new Set(ids(all)).size).toBe(all.length);
  });

  test('subscriptions that are asked for together are all answered before any gets an event', async () => {
    const threadId = newId();
    const first = await socketOf(threadId);
    await first.send('subscription.subscribe', { channels: ['lifecycle'] });
    await start(first);
    await ended(first);
    // Clients ask for the end in one subscription and for what comes before it in another.
    const socket = await socketOf(threadId);
    const wanted = [['lifecycle'], ...Array.from({ length: 9 }, () => ['values', 'messages'])];
    await Promise.all(
      wanted.map((channels) => socket.send('subscription.subscribe', { channels })),
    );
    const all = await ended(socket);
    expect(socket.messages.findIndex((message) => !('id' in message))).toBe(wanted.length);
    const methods = all.map(({ method }) => method);
    expect(methods.at(-1)).toBe('lifecycle');
    expect(methods).toEqual(expect.arrayContaining(['values', 'messages']));
  });

  test('a run’s end waits a moment for who has asked for ends alone: what is asked for next comes before it', async () => {
    const threadId = newId();
    const first = await socketOf(threadId);
    await first.send('subscription.subscribe', { channels: ['lifecycle', 'input'] });
    await start(first);
    await ended(first);
    await oneOfMany('values before the end', async () => {
      const socket = await socketOf(threadId);
      await socket.send('subscription.subscribe', { channels: ['lifecycle', 'input'] });
      await waitUntil(() => rootStates(socket.events).includes('running'), { timeoutMs: 20_000 });
      await socket.send('subscription.subscribe', { channels: ['values'] });
      const methods = (await ended(socket)).map(({ method }) => method);
      return methods.includes('values') && methods.at(-1) === 'lifecycle';
    });
  });

  test('a later subscription is answered first, then gets what there was, and live events come once for both', async () => {
    const threadId = newId();
    const socket = await socketOf(threadId);
    await socket.send('subscription.subscribe', { channels: ['lifecycle', 'input'] });
    await start(socket, { ...HI, ask: true });
    const before = await ended(socket);
    const from = socket.messages.length;
    const answer = await socket.send('subscription.subscribe', {
      channels: ['values', 'lifecycle', 'input'],
      namespaces: [[]],
      depth: 0,
    });
    expect(socket.messages[from]).toEqual(answer);
    const count = Number(answer.result?.['replayed_events']);
    expect(count).toBeGreaterThan(4);
    await waitUntil(() => socket.messages.length === from + 1 + count, { timeoutMs: 20_000 });
    const replayed = socket.messages.slice(from + 1) as Envelope[];
    expect(new Set(replayed.map(({ method }) => method))).toEqual(
      new Set(['values', 'lifecycle', 'input.requested']),
    );
    expect(ids(replayed.filter(({ method }) => method === 'lifecycle'))).toEqual(
      ids(
        before.filter(
          ({ method, params }) => method === 'lifecycle' && params.namespace.length === 0,
        ),
      ),
    );

    const live = socket.messages.length;
    const request = replayed.find(({ method }) => method === 'input.requested');
    await socket.send('input.respond', {
      namespace: [],
      interrupt_id: request?.params.data['interrupt_id'],
      response: true,
    });
    await ended({
      get events() {
        return socket.messages.slice(live).filter((one): one is Envelope => one.type === 'event');
      },
    });
    const after = socket.messages
      .slice(live)
      .filter((one): one is Envelope => one.type === 'event');
    expect(rootStates(after)).toEqual(['running', 'completed']);
    expect(new Set(ids(after)).size).toBe(after.length);
  });

  test('a subscription that joins a run in its middle sees every event in order', async () => {
    const threadId = newId();
    const starter = await socketOf(threadId);
    await starter.send('subscription.subscribe', { channels: ALL_CHANNELS });
    const socket = await socketOf(threadId);
    await socket.send('subscription.subscribe', { channels: ['lifecycle'] });
    await start(starter);
    await waitUntil(() => starter.events.length > 5, { timeoutMs: 20_000 });
    await socket.send('subscription.subscribe', { channels: ALL_CHANNELS });
    const whole = await ended(starter);
    await waitUntil(() => new Set(ids(socket.events)).size === whole.length, { timeoutMs: 20_000 });
    // As a client does it: what it has already counts once.
    const seen = new Set<string>();
    const fresh = socket.events.filter(({ method, event_id: id = '' }) => {
      if (method === 'lifecycle') return false;
      const isNew = !seen.has(id);
      seen.add(id);
      return isNew;
    });
    expect(ids(fresh)).toEqual(ids(whole.filter(({ method }) => method !== 'lifecycle')));
    expect(ids(fresh)).toEqual(ids(socket.events.filter(({ method }) => method !== 'lifecycle')));
  });

  test('what was unsubscribed comes no more, and is unknown afterwards', async () => {
    const socket = await socketOf(newId());
    const values = await socket.send('subscription.subscribe', { channels: ['values'] });
    await socket.send('subscription.subscribe', { channels: ['lifecycle'] });
    const subscription = { subscription_id: values.result?.['subscription_id'] };
    expect(await socket.send('subscription.unsubscribe', subscription)).toMatchObject({
      type: 'success',
    });
    expect(await socket.send('subscription.unsubscribe', subscription)).toMatchObject({
      error: 'no_such_subscription',
    });
    await start(socket);
    const all = await ended(socket);
    expect(new Set(all.map(({ method }) => method))).toEqual(new Set(['lifecycle']));
  });

  test('errors come as answers, and the connection goes on', async () => {
    const socket = await socketOf(newId());
    socket.ws.send('{"id":');
    socket.ws.send('{"id":-1,"method":"x"}');
    socket.ws.send(Buffer.from([1, 2, 3]));
    await waitUntil(() => socket.messages.length === 3, { timeoutMs: 20_000 });
    for (const message of socket.messages)
      expect(message).toMatchObject({ type: 'error', id: null, error: 'invalid_argument' });
    expect(await socket.send('nonsense')).toMatchObject({ error: 'unknown_command' });
    expect(await socket.send('subscription.reconnect', {})).toMatchObject({
      error: 'not_supported',
    });
    expect(await socket.send('subscription.subscribe', { channels: [] })).toMatchObject({
      error: 'invalid_argument',
    });
    expect(await socket.send('run.start', { assistant_id: 'nobody' })).toMatchObject({
      error: 'invalid_argument',
    });
    expect(await socket.send('state.get', { namespace: [] })).toMatchObject({ type: 'error' });
  });

  test('an upgrade elsewhere is refused', async () => {
    const refused = (path: string): Promise<number | undefined> =>
      new Promise((resolve) => {
        const ws = new WebSocket(app.url.replace('http', 'ws') + path);
        ws.on('unexpected-response', (_request, response) => {
          resolve(response.statusCode);
          ws.terminate();
        });
        ws.on('error', () => undefined);
      });
    expect(await refused('/threads')).toBe(404);
    expect(await refused('/threads/no-uuid/stream/events')).toBe(400);
  });
});

test('a stopping server closes its sockets', async () => {
  const app = await startTestServer({ redis: false, graph: v2Graph });
  const socket = await openSocket(app.url, newId());
  await socket.send('subscription.subscribe', { channels: ['values'] });
  await app.server.stop();
  await waitUntil(() => socket.closed, { timeoutMs: 20_000 });
  await app.stop();
});
