/** RemoteGraph, LangGraph.js's own client: a graph of a Millrace deployment as if it were here. */
import { fileURLToPath } from 'node:url';
import { Command, END, MessagesAnnotation, Send, START, StateGraph } from '@langchain/langgraph';
import { RemoteGraph } from '@langchain/langgraph/remote';
import { newId } from '../../src/ids.ts';
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { startRoundRobin } from '../support/round-robin.ts';
import type { RoundRobin } from '../support/round-robin.ts';
import { waitUntil } from '../support/wait-until.ts';

const GRAPHS = fileURLToPath(new URL('./graphs/langgraph.json', import.meta.url));

interface Messages {
  messages: { content: string; type: string }[];
}

/** What the library's types leave out. */
interface RemoteRun {
  readonly thread: { close(): Promise<void> };
}

let cluster: Cluster;
let balancer: RoundRobin;
let remote: RemoteGraph;
beforeAll(async () => {
  cluster = await startCluster({ servers: 2, env: { ...PATIENT, LANGGRAPH_CONFIG_PATH: GRAPHS } });
  balancer = await startRoundRobin(cluster.servers.map(({ url }) => url));
  remote = new RemoteGraph({ graphId: 'chat', url: balancer.url });
}, 120_000);
afterAll(async () => {
  await balancer.close();
  await cluster.stop();
}, 120_000);

const thread = (): { configurable: { thread_id: string } } => ({
  configurable: { thread_id: newId() },
});
const said = (content: string): Record<string, unknown> => ({
  messages: [{ role: 'user', content }],
});
const contents = (values: unknown): string[] =>
  (values as Messages).messages.map(({ content }) => content);

test('invoke, with and without a thread', async () => {
  expect(contents(await remote.invoke(said('alone')))).toEqual(['alone', 'Answer 1 to <alone>.']);
  const config = thread();
  await remote.invoke(said('one'), config);
  expect(contents(await remote.invoke(said('two'), config)).at(-1)).toBe('Answer 2 to <two>.');
});

test('stream in several modes, token by token', async () => {
  const tokens: string[] = [];
  const modes = new Set<string>();
  for await (const chunk of await remote.stream(said('hi'), {
    ...thread(),
    streamMode: ['values', 'updates', 'messages'],
  })) {
    const [mode, data] = chunk as [string, [{ content: string }]];
    modes.add(mode);
    if (mode === 'messages') tokens.push(data[0].content);
  }
  expect([...modes].sort()).toEqual(['messages', 'updates', 'values']);
  expect(tokens.join('')).toBe('Answer 1 to <hi>.');
  expect(tokens.length).toBeGreaterThan(5);
});

test('an interrupt is thrown as here, and a Command goes on', async () => {
  const config = thread();
  await expect(remote.invoke(said('order tea'), config)).rejects.toMatchObject({
    name: 'GraphInterrupt',
    interrupts: [{ value: { question: 'Shall I order tea?' } }],
  });
  const state = await remote.getState(config);
  expect([state.next, state.tasks[0]?.interrupts[0]?.value]).toEqual([
    ['gate'],
    { question: 'Shall I order tea?' },
  ]);
  const values: unknown = await remote.invoke(new Command({ resume: { approved: false } }), config);
  expect(contents(values).slice(1)).toEqual(['refused', 'Answer 2 to <refused>.']);
  const sent: unknown = await remote.invoke(
    new Command({ goto: new Send('talk', { messages: [{ type: 'human', content: 'sent' }] }) }),
    config,
  );
  // It was there: one message of a human. What a Send brings is plain JSON, without `text`.
  expect(contents(sent).at(-1)).toBe('Answer 1 to <>.');
});

test('state: read, updated, its history', async () => {
  const config = thread();
  await remote.invoke(said('one'), config);
  const updated = await remote.updateState(config, said('by hand'), 'talk');
  expect(updated.configurable).toMatchObject(config.configurable);
  const state = await remote.getState(config, { subgraphs: true });
  expect(contents(state.values).at(-1)).toBe('by hand');
  expect(state.config.configurable).toMatchObject(updated.configurable ?? {});
  const history: unknown[] = [];
  for await (const one of remote.getStateHistory(config)) history.push(one.values);
  expect(history).toHaveLength(5);
  expect(history[0]).toEqual(state.values);
});

test('its drawing and its subgraphs', async () => {
  const graph = await remote.getGraphAsync();
  expect(Object.keys(graph.nodes)).toEqual(['__start__', 'gate', 'talk', '__end__']);
  const subgraphs: string[] = [];
  for await (const [name] of remote.getSubgraphsAsync()) subgraphs.push(name);
  expect(subgraphs).toEqual([]);
});

test('protocol v2: streamEvents v3, an interrupt, and a Command that answers it', async () => {
  const config = thread();
  const asks = await remote.streamEvents(said('order tea'), { ...config, version: 'v3' });
  const methods = new Set<string>();
  for await (const event of asks) methods.add((event as { method: string }).method);
  expect([...methods]).toEqual(expect.arrayContaining(['values', 'input.requested']));
  expect(asks.interrupted).toBe(true);
  const resume = new Command({ resume: { approved: true } });
  const goesOn = await remote.streamEvents(resume, { ...config, version: 'v3' });
  // Not its `output`: that is the first end in the thread's stream, and so the first run's.
  const values = await waitUntil(
    async () => {
      const state = await remote.getState(config);
      return state.next.length === 0 ? (state.values as unknown) : undefined;
    },
    { timeoutMs: 20_000 },
  );
  for (const { thread: stream } of [asks, goesOn] as RemoteRun[]) await stream.close();
  // Of protocol v2 the last answer comes in content blocks.
  expect(contents(values).slice(1)).toEqual([
    'approved',
    [expect.objectContaining({ type: 'text' })],
  ]);
});

test('as a node of a graph that runs here', async () => {
  const local = new StateGraph(MessagesAnnotation)
    .addNode('there', remote)
    .addEdge(START, 'there')
    .addEdge('there', END)
    .compile();
  const { messages } = await local.invoke(said('from here'));
  expect(messages.at(-1)?.text).toBe('Answer 1 to <from here>.');
});

test('a graph that fails is an error here', async () => {
  const failing = new RemoteGraph({ graphId: 'failing', url: balancer.url });
  await expect(failing.invoke({}, thread())).rejects.toThrow('this graph always fails');
});
