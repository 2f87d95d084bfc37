/** The events of every stream mode; names and shapes were compared with @langchain/langgraph-api 1.4.5. */
import { AIMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { FakeListChatModel } from '@langchain/core/utils/testing';
import {
  Annotation,
  MessagesAnnotation,
  START,
  StateGraph,
  interrupt,
  type LangGraphRunnableConfig,
} from '@langchain/langgraph';
import { z } from 'zod';
import { createGraphRegistry } from '../../../src/graphs/registry.ts';
import type { Graph, StreamMode } from '../../../src/graphs/port.ts';
import {
  createDependencies,
  createExecution,
  createSink,
  createThread,
  type Recorded,
} from '../../support/graphs.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';

let database: TestDatabase;
let graph: Graph;

beforeAll(async () => {
  database = await createTestDatabase();
  graph = await createGraphRegistry(createDependencies(database.pool), {
    graphs: { parent: createParent() },
  }).get('parent');
});
afterAll(() => database.drop());

/** chat (a tool, a custom event) → sub (a streaming model in a subgraph) → ask (an interrupt) */
function createParent(): object {
  const model = new FakeListChatModel({ responses: ['yes'] });
  const shout = tool(({ text }) => text.toUpperCase(), {
    name: 'shout',
    description: 'shouts',
    schema: z.object({ text: z.string() }),
  });
  const sub = new StateGraph(MessagesAnnotation)
    .addNode('model', async (_state, config: LangGraphRunnableConfig) => {
      config.writer?.({ from: 'sub' });
      return { messages: [await model.invoke('?')] };
    })
    .addEdge(START, 'model')
    .compile();
  return new StateGraph(Annotation.Root({ ...MessagesAnnotation.spec, ok: Annotation<unknown>() }))
    .addNode('chat', async (_state, config: LangGraphRunnableConfig) => {
      config.writer?.({ from: 'chat' });
      const content: unknown = await shout.invoke({ text: 'a' });
      return { messages: [new AIMessage({ content: String(content), id: 'm1' })] };
    })
    .addNode('sub', sub)
    .addNode('ask', () => ({ ok: interrupt('ok?') }))
    .addEdge(START, 'chat')
    .addEdge('chat', 'sub')
    .addEdge('sub', 'ask');
}

async function eventsOf(streamModes: StreamMode[], streamSubgraphs = false): Promise<Recorded[]> {
  const threadId = await createThread(database.pool);
  const sink = createSink();
  const given = { streamModes, streamSubgraphs };
  await graph.execute(
    createExecution(threadId, sink, {
      input: { messages: [{ role: 'user', content: 'hi', id: 'h1' }] },
      ...given,
    }),
  );
  return sink.events;
}

/** With the ids of subgraph tasks taken out: `values|sub`. */
const namesOf = (events: Recorded[]): string[] =>
  events.map(({ type }) => type.replace(/:[0-9a-f-]{36}/g, ''));

test.each<[StreamMode, string[]]>([
  ['values', ['values', 'values', 'values', 'values']],
  ['updates', ['updates', 'updates', 'updates']],
  ['custom', ['custom', 'custom']],
  ['tools', ['tools', 'tools']],
  ['tasks', Array<string>(6).fill('tasks')],
  ['checkpoints', Array<string>(4).fill('checkpoints')],
  ['debug', Array<string>(10).fill('debug')],
  ['messages-tuple', Array<string>(4).fill('messages')],
  [
    'messages',
    [
      'messages/complete',
      'messages/complete',
      'messages/metadata',
      'messages/partial',
      'messages/partial',
      'messages/partial',
      'messages/complete',
    ],
  ],
])('mode %s', async (mode, names) => {
  expect(namesOf(await eventsOf([mode]))).toEqual(names);
});

test('subgraphs carry their namespace, and values a light checkpoint', async () => {
  expect(namesOf(await eventsOf(['values', 'updates'], true))).toEqual(
    [
      ['checkpoints', 'values', 'updates', 'checkpoints', 'values'],
      ['checkpoints|sub', 'values|sub', 'updates|sub', 'checkpoints|sub', 'values|sub'],
      ['updates', 'checkpoints', 'values', 'updates', 'values'],
    ].flat(),
  );
});

test('a light checkpoint says which, after which, and from what', async () => {
  const [first] = await eventsOf(['values'], true);
  expect(first?.data).toEqual({
    id: expect.any(String) as string,
    parent_id: expect.any(String) as string,
    step: 0,
    source: 'loop',
  });
});

test('an interrupt is an update and then a value', async () => {
  const events = await eventsOf(['values', 'updates']);
  const stopped = { __interrupt__: [{ id: expect.any(String) as string, value: 'ok?' }] };
  expect(events.slice(-2)).toEqual([
    { type: 'updates', data: stopped },
    { type: 'values', data: stopped },
  ]);
});

test('tools tell their start and end', async () => {
  const [start, end] = await eventsOf(['tools']);
  expect(start?.data).toMatchObject({ event: 'on_tool_start', name: 'shout' });
  expect(end?.data).toMatchObject({ event: 'on_tool_end', name: 'shout' });
});

test('messages grow until they are complete', async () => {
  const events = await eventsOf(['messages']);
  const partial = events.filter(({ type }) => type === 'messages/partial');
  expect(partial.map(({ data }) => (data as { content: string }[])[0]?.content)).toEqual([
    'y',
    'ye',
    'yes',
  ]);
  const metadata = events.find(({ type }) => type === 'messages/metadata')?.data as object;
  expect(Object.values(metadata)[0]).toMatchObject({ metadata: { langgraph_node: 'model' } });
  expect(events.at(-1)).toMatchObject({ data: [{ type: 'ai', content: 'yes' }] });
});

test('debug and checkpoints show no key of the library or of ours', async () => {
  const events = await eventsOf(['debug', 'checkpoints'], true);
  expect(JSON.stringify(events)).not.toMatch(/"__pregel_(?!pull)|LangGraphSaver/);
  const checkpoint = events.find(({ type }) => type === 'debug');
  expect(checkpoint?.data).toMatchObject({
    type: 'checkpoint',
    step: -1,
    payload: { checkpoint: { checkpoint_ns: '' }, parent_checkpoint: null, next: ['__start__'] },
  });
  expect(Object.keys(events.find(({ type }) => type === 'checkpoints')?.data as object)).toEqual([
    'values',
    'metadata',
    'next',
  ]);
});

test('raw events come without the stream of the run itself, and beside other modes', async () => {
  const events = await eventsOf(['events', 'updates']);
  const raw = events
    .filter(({ type }) => type === 'events')
    .map(({ data }) => data as { event: string });
  expect(raw[0]).toMatchObject({ event: 'on_chain_start' });
  expect(raw.some(({ event }) => event === 'on_chat_model_stream')).toBe(true);
  expect(raw.at(-1)).toMatchObject({ event: 'on_chain_end' });
  expect(events.filter(({ type }) => type === 'updates')).toHaveLength(3);
});
