/** The event stream of protocol v2 over SSE: what a run tells, filters, positions, several runs. */
import { newId } from '../../../src/ids.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import {
  ALL_CHANNELS,
  command,
  ended,
  openEvents,
  rootStates,
  words,
} from '../../support/v2-client.ts';
import type { Envelope, EventStream } from '../../support/v2-client.ts';
import { REPLY, v2Graph } from '../../support/v2-graph.ts';
import { waitUntil } from '../../support/wait-until.ts';

const HI = { messages: [{ role: 'user', content: 'hi' }] };

describe.each([{ redis: true }, { redis: false }])('with redis: $redis', ({ redis }) => {
  let app: TestServer;
  const open: EventStream[] = [];
  beforeAll(async () => {
    app = await startTestServer({ redis, graph: v2Graph });
  });
  afterEach(() => {
    for (const stream of open.splice(0)) stream.close();
  });
  afterAll(() => app.stop());

  const events = async (
    threadId: string,
    body?: object,
    headers?: Record<string, string>,
  ): Promise<EventStream> => {
    const stream = await openEvents(app.url, threadId, body, headers);
    open.push(stream);
    return stream;
  };
  const start = async (threadId: string, input: object | null = HI): Promise<void> => {
    const answer = await command(app.url, threadId, 'run.start', { assistant_id: 'test', input });
    expect(answer).toMatchObject({ status: 200, type: 'success' });
  };
  const of = (all: readonly Envelope[], method: string): Envelope[] =>
    all.filter((event) => event.method === method);

  test('a thread that does not exist yet has a stream; run.start makes it and is told from its first event on', async () => {
    const threadId = newId();
    const stream = await events(threadId);
    expect(stream.status).toBe(200);
    expect(stream.headers.get('content-type')).toBe('text/event-stream');
    expect((await app.call('GET', `/threads/${threadId}/state`)).status).toBe(404);
    await start(threadId);
    const all = await ended(stream);
    expect(rootStates(all)).toEqual(['running', 'completed']);
    expect(all[0]).toMatchObject({
      type: 'event',
      method: 'lifecycle',
      params: { namespace: [], data: { event: 'running', graph_name: 'test' } },
    });
    expect((await app.call('GET', `/threads/${threadId}`)).json()).toMatchObject({
      status: 'idle',
      values: { messages: [{ content: 'hi' }, { type: 'ai' }] },
    });
    const seqs = all.map(({ seq }) => seq ?? 0);
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
    expect(new Set(seqs).size).toBe(seqs.length);
    stream.frames.forEach((frame, i) => {
      expect(frame.id).toBe(String(seqs[i]));
      expect(all[i]?.event_id).toBe(frame.id);
      expect(frame.event).toBe(all[i]?.method);
    });
  });

  test('messages stream as content blocks of a model inside a subgraph', async () => {
    const threadId = newId();
    const stream = await events(threadId, { channels: ['messages', 'lifecycle'] });
    await start(threadId);
    const all = await ended(stream);
    const messages = of(all, 'messages');
    expect(new Set(messages.map(({ params }) => params.node))).toEqual(new Set(['talk']));
    expect(words(messages).filter((word) => !word.includes('delta'))).toEqual([
      'messages message-start',
      'messages content-block-start',
      'messages content-block-finish',
      'messages message-finish',
    ]);
    const deltas = messages
      .filter(({ params }) => params.data['event'] === 'content-block-delta')
      .map(({ params }) => (params.data['delta'] as { type: string; text: string }).text);
    expect(deltas.length).toBeGreaterThan(5);
    expect(deltas.join('')).toBe(REPLY);
    expect(messages[0]?.params.data).toMatchObject({ role: 'ai' });
    expect(messages[0]?.params.data['id']).toEqual(expect.any(String));
    // The subgraph's namespace begins before its messages and ends after them.
    const subgraph = of(all, 'lifecycle').filter(
      ({ params }) => params.namespace.length === 1 && params.namespace[0]?.startsWith('agent:'),
    );
    expect(words(subgraph)).toEqual(['lifecycle started', 'lifecycle completed']);
    expect(subgraph[0]?.params.data['graph_name']).toBe('agent');
    expect(subgraph[0]?.seq).toBeLessThan(messages[0]?.seq ?? 0);
    expect(subgraph[1]?.seq).toBeGreaterThan(messages.at(-1)?.seq ?? 0);
  });

  test('values come with their checkpoint before them, updates as the delta of a node, tools and custom events by name', async () => {
    const threadId = newId();
    const stream = await events(threadId);
    await start(threadId);
    const all = await ended(stream);
    const root = all.filter(({ params }) => params.namespace.length === 0);
    const states = root.filter(({ method }) => method === 'values' || method === 'checkpoints');
    expect(states.map(({ method }) => method).slice(0, 4)).toEqual([
      'checkpoints',
      'values',
      'checkpoints',
      'values',
    ]);
    expect(Object.keys(states[0]?.params.data ?? {}).sort()).toEqual([
      'id',
      'parent_id',
      'source',
      'step',
    ]);
    expect(states.at(-1)?.params.data['messages']).toMatchObject([
      { type: 'human', content: 'hi' },
      { type: 'ai' },
    ]);
    const [human] = states.at(-1)?.params.data['messages'] as object[];
    expect(human).not.toHaveProperty('response_metadata');
    const work = of(root, 'updates').find(({ params }) => params.node === 'work');
    expect(work?.params.data).toEqual({});
    expect(of(all, 'custom').map(({ params }) => params.data)).toEqual([
      { payload: { plain: 1 } },
      { name: 'progress', payload: { percent: 50 } },
    ]);
    expect(of(all, 'tools').map(({ params }) => params.data)).toMatchObject([
      { event: 'tool-started', tool_call_id: 'call-1', tool_name: 'double' },
      { event: 'tool-finished', tool_call_id: 'call-1', output: { content: '42', type: 'tool' } },
    ]);
    expect(of(root, 'tasks').map(({ params }) => params.data['name'])).toEqual(
      expect.arrayContaining(['agent', 'work', 'gate']),
    );
  });

  test('an interrupt asks for input, its answer goes on in the same stream, seqs go on, too', async () => {
    const threadId = newId();
    const stream = await events(threadId);
    await start(threadId, { ...HI, ask: true });
    const before = await ended(stream);
    expect(rootStates(before)).toEqual(['running', 'interrupted']);
    const [request, ...others] = of(before, 'input.requested');
    expect(others).toEqual([]);
    expect(request?.params).toMatchObject({
      namespace: [],
      data: {
        interrupt_id: expect.any(String) as string,
        payload: { question: 'go on?' },
        // What the Python SDK reads.
        value: { question: 'go on?' },
      },
    });
    expect(JSON.stringify(of(before, 'values'))).not.toContain('__interrupt__');
    expect((await app.call('GET', `/threads/${threadId}`)).json()).toMatchObject({
      status: 'interrupted',
    });
    const answer = await command(app.url, threadId, 'input.respond', {
      namespace: [],
      interrupt_id: request?.params.data['interrupt_id'],
      response: false,
    });
    expect(answer).toMatchObject({ type: 'success', result: {} });
    const all = await ended(stream, 2);
    expect(rootStates(all)).toEqual(['running', 'interrupted', 'running', 'completed']);
    expect(of(all, 'values').at(-1)?.params.data).toMatchObject({ approved: false });
    const seqs = all.map(({ seq }) => seq ?? 0);
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
    expect(stream.over).toBeUndefined();
  });

  test('a graph that throws ends as failed, with the message', async () => {
    const threadId = newId();
    const stream = await events(threadId, { channels: ['lifecycle'] });
    await start(threadId, { ...HI, fail: true });
    const all = await ended(stream);
    expect(all.at(-1)?.params.data).toMatchObject({ event: 'failed', error: 'told to fail' });
    expect(
      words(
        all.filter(
          ({ params }) =>
            params.namespace[0]?.startsWith('agent:') && params.namespace.length === 1,
        ),
      ),
    ).toEqual(['lifecycle started', 'lifecycle failed']);
  });

  test('a filter takes channels, namespaces by node or instance, and a depth', async () => {
    const threadId = newId();
    const whole = await events(threadId);
    await start(threadId);
    const all = await ended(whole);
    const instance =
      all.find(({ params }) => params.namespace.length === 1)?.params.namespace ?? [];
    const expected = (matches: (event: Envelope) => boolean): unknown[] =>
      all.filter(matches).map(({ event_id: id }) => id);
    const replayed = async (body: object, ids: unknown[]): Promise<void> => {
      const stream = await events(threadId, body);
      await waitUntil(() => stream.events.length >= ids.length, { timeoutMs: 20_000 });
      expect(stream.events.map(({ event_id: id }) => id)).toEqual(ids);
    };
    expect(
      ALL_CHANNELS.filter((channel) => !words(all).some((word) => word.startsWith(channel))),
    ).toEqual(['input']);
    await replayed(
      { channels: ALL_CHANNELS },
      expected(() => true),
    );
    await replayed(
      { channels: ['values', 'custom:progress'] },
      expected(
        ({ method, params }) =>
          method === 'values' || (method === 'custom' && params.data['name'] === 'progress'),
      ),
    );
    const inAgent = ({ params }: Envelope): boolean => params.namespace[0] === instance[0];
    await replayed({ channels: ALL_CHANNELS, namespaces: [['agent']] }, expected(inAgent));
    await replayed({ channels: ALL_CHANNELS, namespaces: [instance] }, expected(inAgent));
    await replayed({ channels: ALL_CHANNELS, namespaces: [['agent:other']] }, []);
    await replayed(
      { channels: ALL_CHANNELS, namespaces: [['agent']], depth: 0 },
      expected((event) => inAgent(event) && event.params.namespace.length === 1),
    );
    await replayed(
      { channels: ALL_CHANNELS, namespaces: [[]], depth: 1 },
      expected(({ params }) => params.namespace.length <= 1),
    );
    const middle = all[Math.floor(all.length / 2)];
    await replayed(
      { channels: ALL_CHANNELS, since: middle?.seq },
      expected(({ seq }) => (seq ?? 0) > (middle?.seq ?? 0)),
    );
  });

  test('a client that comes back with Last-Event-ID gets every event once, at whatever event it was cut off', async () => {
    const threadId = newId();
    const whole = await events(threadId);
    await start(threadId);
    const all = await ended(whole);
    for (const at of [0, 7, all.length - 2, all.length - 1]) {
      const id = all[at]?.event_id ?? '';
      const rest = all.slice(at + 1).map(({ event_id }) => event_id);
      const stream = await events(threadId, { channels: ALL_CHANNELS }, { 'last-event-id': id });
      await waitUntil(() => stream.events.length >= rest.length, { timeoutMs: 20_000 });
      expect(stream.events.map(({ event_id }) => event_id)).toEqual(rest);
    }
  });

  test('what is no filter or no position is refused', async () => {
    const threadId = newId();
    const status = async (body: unknown, headers = {}): Promise<number> =>
      (await app.call('POST', `/threads/${threadId}/stream/events`, body, headers)).status;
    expect(await status({})).toBe(400);
    expect(await status({ channels: [] })).toBe(400);
    expect(await status({ channels: ['nonsense'] })).toBe(400);
    expect(await status({ channels: ['values'], more: 1 })).toBe(400);
    expect(await status({ channels: ['values'], since: -1 })).toBe(400);
    expect(await status({ channels: ['values'], since: 'x' })).toBe(400);
    expect(await status({ channels: ['values'] }, { 'last-event-id': 'x' })).toBe(400);
    await start(threadId);
    const stream = await events(threadId, { channels: ['lifecycle'] });
    await ended(stream);
    const last = Number(stream.frames.at(-1)?.id);
    expect(await status({ channels: ['values'] }, { 'last-event-id': `${last + 5}` })).toBe(410);
    expect(
      await status({ channels: ['values'] }, { 'last-event-id': `${last}-999999999999999` }),
    ).toBe(410);
  });
});
