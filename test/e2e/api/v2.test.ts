/** Protocol v2 (HTTP.md, 3.10), through the official SDK's threads.stream and by plain HTTP and WebSocket. */
import { randomUUID } from 'node:crypto';
import { WebSocket as WsWebSocket } from 'ws';
import { call, client, newThread, said, url } from '../../support/api.ts';
import {
  ALL_CHANNELS,
  command,
  ended,
  openEvents,
  openSocket,
  rootStates,
  words,
} from '../../support/v2-client.ts';
import { REPLY } from '../../support/v2-graph.ts';
import { waitUntil } from '../../support/wait-until.ts';

const SOON = { timeoutMs: 20_000 };
const start = (threadId: string, input: object, more: object = {}): ReturnType<typeof command> =>
  command(url, threadId, 'run.start', { assistant_id: 'v2', input, ...more });

test.each(['sse', 'websocket'] as const)('the SDK talks over %s', async (transport) => {
  const thread = client.threads.stream(randomUUID(), {
    assistantId: 'v2',
    ...(transport === 'sse'
      ? {}
      : {
          transport,
          webSocketFactory: (address: string) => new WsWebSocket(address) as unknown as WebSocket,
        }),
  });
  const texts: string[] = [];
  const read = (async () => {
    for await (const message of thread.messages) texts.push(await message.text);
  })();
  await thread.run.start({ input: { ...said('hi'), ask: true } });
  await waitUntil(() => texts.length === 1, SOON);
  expect(texts).toEqual([REPLY]);
  await waitUntil(() => thread.interrupted && thread.interrupts.length > 0, SOON);
  const [{ interruptId } = { interruptId: '' }] = thread.interrupts;
  await thread.input.respond({ namespace: [], interrupt_id: interruptId, response: 'fine' });
  await waitUntil(async () => {
    const { values } = await thread.state.get({ namespace: [] });
    return (values as { approved?: unknown }).approved === 'fine';
  }, SOON);
  expect(await thread.agent.getTree()).toHaveProperty('tree.graph_name');
  await thread.close();
  await read;
});

test('the stream of an unknown thread waits for it, stays open after the run, and is one over its runs', async () => {
  const threadId = randomUUID();
  const stream = await openEvents(url, threadId);
  const first = await start(threadId, said('one'));
  expect(first).toMatchObject({
    status: 200,
    type: 'success',
    result: { run_id: expect.any(String) as string },
    meta: { thread_id: threadId, applied_through_seq: expect.any(Number) as number },
  });
  await ended(stream);
  expect(stream.over).toBeUndefined();
  await start(threadId, said('two'));
  const events = await ended(stream, 2);
  expect(rootStates(events)).toEqual(['running', 'completed', 'running', 'completed']);
  const seqs = events.map(({ seq }) => seq ?? 0);
  expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
  for (const event of events)
    expect(event).toMatchObject({
      type: 'event',
      event_id: String(event.seq),
      params: {
        namespace: expect.any(Array) as string[],
        timestamp: expect.any(Number) as number,
      },
    });
  expect(stream.frames.map(({ event, id }) => [event, id])).toEqual(
    events.map(({ method, event_id: id }) => [method, id]),
  );
  stream.close();
  // The thread is there for the runs API, with its status and values.
  const thread = await client.threads.get(threadId);
  expect(thread).toMatchObject({ status: 'idle', metadata: { graph_id: 'v2' } });
  expect((thread.values as { messages: unknown[] }).messages).toHaveLength(4);
  const [run] = await client.runs.list(threadId);
  expect(run).toMatchObject({
    multitask_strategy: 'enqueue',
    kwargs: {
      stream_mode: ['values', 'updates', 'messages', 'tools', 'custom', 'tasks'],
      subgraphs: true,
      resumable: true,
    },
  });
  // And whoever opens it now gets all of it.
  const replay = await openEvents(url, threadId);
  const again = await ended(replay, 2);
  expect(again).toEqual(events);
  replay.close();
});

test('every channel has its events', async () => {
  const threadId = randomUUID();
  const stream = await openEvents(url, threadId);
  await start(threadId, { ...said('hi'), ask: true });
  const events = await ended(stream);
  stream.close();
  const of = (method: string): unknown[] =>
    events.filter((event) => event.method === method).map(({ params }) => params.data);
  expect(words(events)).toEqual(
    expect.arrayContaining([
      'lifecycle running',
      'lifecycle started',
      'lifecycle completed',
      'lifecycle interrupted',
      'messages message-start',
      'messages content-block-start',
      'messages content-block-delta',
      'messages content-block-finish',
      'messages message-finish',
      'tools tool-started',
      'tools tool-finished',
      'values',
      'updates',
      'checkpoints',
      'tasks',
      'custom',
      'input.requested',
    ]),
  );
  expect(of('custom')).toEqual([
    { payload: { plain: 1 } },
    { name: 'progress', payload: { percent: 50 } },
  ]);
  expect(of('input.requested')).toMatchObject([
    { interrupt_id: expect.any(String) as string, payload: { question: 'go on?' } },
  ]);
  expect(of('checkpoints')[0]).toMatchObject({
    id: expect.any(String) as string,
    step: expect.any(Number) as number,
    source: expect.any(String) as string,
  });
  const updates = events.filter(({ method }) => method === 'updates');
  expect(updates[0]?.params.node).toEqual(expect.any(String));
  for (const values of of('values')) expect(values).not.toHaveProperty('__interrupt__');
  expect((await client.threads.get(threadId)).status).toBe('interrupted');
  const input = events.findIndex(({ method }) => method === 'input.requested');
  expect(rootStates(events.slice(input))).toEqual(['interrupted']);
});

test('a filter: channels, one custom name, namespaces, depth, since', async () => {
  const threadId = randomUUID();
  await start(threadId, said('hi'));
  const all = await openEvents(url, threadId);
  const events = await ended(all);
  all.close();
  const read = async (body: object, count: number): Promise<string[]> => {
    const stream = await openEvents(url, threadId, body);
    await waitUntil(() => stream.events.length >= count, SOON);
    stream.close();
    return words(stream.events);
  };
  expect(await read({ channels: ['custom:progress'] }, 1)).toEqual(['custom']);
  expect(await read({ channels: ['custom'] }, 2)).toEqual(['custom', 'custom']);
  const root = events.filter(
    ({ method, params }) => method === 'values' && params.namespace.length === 0,
  );
  expect(
    await read({ channels: ['values'], namespaces: [[]], depth: 0 }, root.length),
  ).toHaveLength(root.length);
  const inner = events.filter(
    ({ method, params }) =>
      method === 'values' && params.namespace[0]?.startsWith('agent:') === true,
  );
  expect(inner.length).toBeGreaterThan(0);
  expect(await read({ channels: ['values'], namespaces: [['agent']] }, inner.length)).toHaveLength(
    inner.length,
  );
  const since = events.at(-3)?.seq ?? 0;
  const last = await openEvents(url, threadId, { channels: ALL_CHANNELS, since });
  await waitUntil(() => last.events.length === 2, SOON);
  expect(last.events).toEqual(events.slice(-2));
  last.close();
  for (const body of [
    {},
    { channels: ['nonsense'] },
    { channels: ['values'], other: 1 },
    { channels: ['values'], depth: -1 },
  ])
    expect((await call('POST', `/threads/${threadId}/stream/events`, body)).status).toBe(400);
});

test('commands that cannot be done are answered so; what is no command is 400', async () => {
  const threadId = await newThread();
  const refused = async (method: string, params: object = {}): Promise<string | undefined> =>
    (await command(url, threadId, method, params)).error;
  expect(await refused('nonsense')).toBe('unknown_command');
  for (const method of ['state.listCheckpoints', 'state.fork', 'input.inject'])
    expect(await refused(method)).toBe('unknown_command');
  expect(await refused('subscription.reconnect')).toBe('not_supported');
  expect(await refused('run.start', { input: {} })).toBe('invalid_argument');
  const answer = { namespace: [], interrupt_id: 'x', response: 1 };
  expect(await refused('input.respond', answer)).toBe('no_such_run');
  const started = await start(threadId, said('hi'));
  await client.runs.join(threadId, String(started.result?.['run_id']));
  expect(await refused('input.respond', answer)).toBe('invalid_argument');
  expect(await refused('run.start', { assistant_id: 'agent', input: {} })).toBe('invalid_argument');
  const nobody = await command(url, threadId, 'run.start', { assistant_id: 'nobody', input: {} });
  expect(nobody).toMatchObject({ status: 200, error: 'invalid_argument' });
  const fresh = await command(url, randomUUID(), 'run.start', { assistant_id: 'nobody' });
  expect(fresh.status).toBe(404);
  expect((await command(url, randomUUID(), 'state.get', {})).status).toBe(404);
  for (const body of [{}, { id: -1, method: 'x' }, { id: 1 }, { id: 1, method: 'x', other: 1 }])
    expect((await call('POST', `/threads/${threadId}/commands`, body)).status).toBe(400);
});

test('input answers a pending interrupt; a fork does not', async () => {
  const threadId = randomUUID();
  const started = await start(threadId, { ...said('hi'), ask: true });
  await client.runs.join(threadId, String(started.result?.['run_id']));
  const answered = await start(threadId, { answer: 'by input' });
  await client.runs.join(threadId, String(answered.result?.['run_id']));
  const { result } = await command(url, threadId, 'state.get', {
    namespace: [],
    keys: ['approved'],
  });
  expect(result).toMatchObject({ values: { approved: { answer: 'by input' } } });
  const history = await client.threads.getHistory<{ messages?: unknown[] }>(threadId, {
    limit: 100,
  });
  const early = history.find(({ values }) => values.messages?.length === 1);
  const forked = await start(
    threadId,
    { ...said('other'), ask: false },
    {
      config: { configurable: { checkpoint_id: early?.checkpoint.checkpoint_id } },
    },
  );
  await client.runs.join(threadId, String(forked.result?.['run_id']));
  expect((await client.threads.get(threadId)).status).toBe('idle');
});

test('run.start and input.respond obey Idempotency-Key', async () => {
  const threadId = randomUUID();
  const send = (id: number, method: string, params: object, key: string) =>
    call(
      'POST',
      `/threads/${threadId}/commands`,
      { id, method, params },
      {
        'idempotency-key': key,
      },
    );
  const begin = { assistant_id: 'v2', input: { ...said('hi'), ask: true } };
  const answers = await Promise.all([1, 2, 3].map((id) => send(id, 'run.start', begin, 'begin')));
  const runs = answers.map((answer) => answer.json<{ result: { run_id: string } }>().result.run_id);
  expect(new Set(runs).size).toBe(1);
  await client.runs.join(threadId, runs[0] ?? '');
  const other = await send(4, 'run.start', { ...begin, input: {} }, 'begin');
  expect(other.status).toBe(422);
  const { interrupts } = await client.threads.get(threadId);
  const id = Object.values(interrupts)[0]?.[0]?.id ?? '';
  const respond = { namespace: [], interrupt_id: id, response: 'yes' };
  for (const n of [5, 6]) {
    const answer = await send(n, 'input.respond', respond, 'answer');
    expect(answer.json()).toMatchObject({ type: 'success', result: {} });
  }
  expect(await client.runs.list(threadId)).toHaveLength(2);
});

test('a WebSocket: an answer before its replay, subscriptions that end, bad JSON', async () => {
  const threadId = randomUUID();
  const socket = await openSocket(url, threadId);
  const parked = await socket.send('subscription.subscribe', { channels: ['values'] });
  expect(parked).toMatchObject({ type: 'success', result: { replayed_events: 0 } });
  await socket.send('run.start', { assistant_id: 'v2', input: said('hi') });
  await socket.send('subscription.subscribe', { channels: ['lifecycle'] });
  await ended(socket);
  const late = await socket.send('subscription.subscribe', { channels: ['custom'] });
  expect(late.result?.['replayed_events']).toBe(2);
  await waitUntil(
    () => words(socket.events).filter((word) => word === 'custom').length === 2,
    SOON,
  );
  const at = socket.messages.indexOf(late);
  expect(
    socket.messages.findIndex((one) => 'method' in one && one.method === 'custom'),
  ).toBeGreaterThan(at);
  const { subscription_id: id } = parked.result ?? {};
  expect(await socket.send('subscription.unsubscribe', { subscription_id: id })).toMatchObject({
    type: 'success',
  });
  expect(await socket.send('subscription.unsubscribe', { subscription_id: id })).toMatchObject({
    error: 'no_such_subscription',
  });
  socket.ws.send('{"id":');
  await waitUntil(
    () =>
      socket.messages.some(
        (one) => one.type === 'error' && one.id === null && one.error === 'invalid_argument',
      ),
    SOON,
  );
  socket.ws.close();
});
