/** Reading and changing states, and what a graph tells of itself. */
import { Annotation, END, START, StateGraph, interrupt } from '@langchain/langgraph';
import { z } from 'zod';
import { createGraphRegistry } from '../../../src/graphs/registry.ts';
import type { Graph, GraphConfig, HistoryQuery, StateQuery } from '../../../src/graphs/port.ts';
import {
  createDependencies,
  createExecution,
  createRun,
  createSink,
  createThread,
} from '../../support/graphs.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';

const CONFIG: GraphConfig = { configurable: { graph_id: 'g', 'x-tenant': 't1' }, metadata: {} };
const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

let database: TestDatabase;
let graph: Graph;

beforeAll(async () => {
  database = await createTestDatabase();
  const sub = new StateGraph(State)
    .addNode('inner', () => ({ log: [interrupt<string, string>('inner?')] }))
    .addNode('then', () => ({ log: [] }))
    .addEdge(START, 'inner')
    .addEdge('inner', 'then')
    .compile();
  graph = await createGraphRegistry(createDependencies(database.pool), {
    graphs: {
      g: new StateGraph(State)
        .addNode('a', () => ({ log: ['a'] }))
        .addNode('sub', sub)
        .addEdge(START, 'a')
        .addEdge('a', 'sub')
        .addEdge('sub', END),
    },
  }).get('g');
});
afterAll(() => database.drop());

const stateQuery = (threadId: string, given: Partial<StateQuery> = {}): StateQuery => ({
  threadId,
  config: CONFIG,
  subgraphs: false,
  ...given,
});
const historyQuery = (threadId: string, given: Partial<HistoryQuery> = {}): HistoryQuery => ({
  ...stateQuery(threadId),
  limit: 10,
  ...given,
});

/** Stopped inside the subgraph. */
async function interruptedThread(): Promise<string> {
  const threadId = await createThread(database.pool);
  const config = { ...CONFIG, metadata: { purpose: 'test' } };
  await graph.execute(createExecution(threadId, createSink(), { input: { log: ['in'] }, config }));
  return threadId;
}

test('a fresh thread has an empty state', async () => {
  const threadId = await createThread(database.pool);
  expect(await graph.getState(stateQuery(threadId))).toEqual({
    values: {},
    next: [],
    tasks: [],
    metadata: {},
    created_at: null,
    checkpoint: null,
    parent_checkpoint: null,
  });
});

test('the state names what is next, its task, and its checkpoint', async () => {
  const threadId = await interruptedThread();
  const state = await graph.getState(stateQuery(threadId));
  expect(state).toMatchObject({
    values: { log: ['in', 'a'] },
    next: ['sub'],
    metadata: { source: 'loop', step: 1, graph_id: 'g', 'x-tenant': 't1', purpose: 'test' },
    checkpoint: { thread_id: threadId, checkpoint_ns: '', checkpoint_map: null },
    parent_checkpoint: { thread_id: threadId },
  });
  expect(state.tasks).toEqual([
    {
      id: expect.any(String) as string,
      name: 'sub',
      path: ['__pregel_pull', 'sub'],
      error: null,
      interrupts: [{ id: expect.any(String) as string, value: 'inner?' }],
      checkpoint: { thread_id: threadId, checkpoint_ns: expect.stringMatching(/^sub:/) as string },
      state: null,
      result: null,
    },
  ]);
});

test('with subgraphs a task carries its state, which can also be read by its namespace', async () => {
  const threadId = await interruptedThread();
  const [task] = (await graph.getState(stateQuery(threadId, { subgraphs: true }))).tasks;
  expect(task).toMatchObject({
    checkpoint: null,
    state: { next: ['inner'], values: { log: ['in', 'a'] } },
  });
  const checkpointNs = String(task?.state?.checkpoint?.['checkpoint_ns']);
  const inner = await graph.getState(stateQuery(threadId, { checkpointNs }));
  expect(inner).toMatchObject({ next: ['inner'], checkpoint: { checkpoint_ns: checkpointNs } });
});

test('n supersteps leave n + 1 states, newest first, found by before, limit and metadata', async () => {
  const threadId = await interruptedThread();
  const history = await graph.getHistory(historyQuery(threadId));
  expect(history.map((state) => state.next)).toEqual([['sub'], ['a'], ['__start__']]);
  expect(await graph.getHistory(historyQuery(threadId, { limit: 1 }))).toEqual(history.slice(0, 1));
  const before = history[0]?.checkpoint ?? {};
  expect(await graph.getHistory(historyQuery(threadId, { before }))).toEqual(history.slice(1));
  const of = (metadata: Record<string, unknown>): Promise<unknown[]> =>
    graph.getHistory(historyQuery(threadId, { metadata }));
  expect(await of({ source: 'input' })).toEqual(history.slice(2));
  expect(await of({ purpose: 'test' })).toHaveLength(3);
  expect(await of({ purpose: 'other' })).toEqual([]);
});

test('one checkpoint is read by its id, an unknown one is empty', async () => {
  const threadId = await interruptedThread();
  const [, second] = await graph.getHistory(historyQuery(threadId));
  const checkpointId = String(second?.checkpoint?.['checkpoint_id']);
  expect(await graph.getState(stateQuery(threadId, { checkpointId }))).toMatchObject({
    next: ['a'],
    checkpoint: { checkpoint_id: checkpointId },
  });
  const unknown = '1ef00000-0000-6000-8000-000000000000';
  expect(await graph.getState(stateQuery(threadId, { checkpointId: unknown }))).toMatchObject({
    values: {},
    checkpoint: { checkpoint_id: unknown },
  });
});

test('an update is a new checkpoint, as the node it is made for', async () => {
  const threadId = await interruptedThread();
  const checkpoint = await graph.updateState({
    threadId,
    config: CONFIG,
    values: { log: ['by hand'] },
    asNode: 'sub',
  });
  expect(checkpoint).toMatchObject({ thread_id: threadId, checkpoint_ns: '' });
  const state = await graph.getState(stateQuery(threadId));
  expect(state).toMatchObject({
    values: { log: ['in', 'a', 'by hand'] },
    next: [],
    metadata: { source: 'update' },
    checkpoint: { checkpoint_id: checkpoint['checkpoint_id'] },
  });
});

test('two updates of one checkpoint are two forks, each with its own values', async () => {
  const threadId = await interruptedThread();
  const [latest] = await graph.getHistory(historyQuery(threadId));
  const checkpointId = String(latest?.checkpoint?.['checkpoint_id']);
  const forks: unknown[] = [];
  for (const word of ['one', 'two']) {
    const fork = await graph.updateState({
      threadId,
      config: CONFIG,
      checkpointId,
      values: { log: [word] },
      asNode: 'a',
    });
    forks.push(fork['checkpoint_id']);
  }
  const states = await Promise.all(
    forks.map((id) => graph.getState(stateQuery(threadId, { checkpointId: String(id) }))),
  );
  expect(states.map((state) => state.values)).toEqual([
    { log: ['in', 'a', 'one'] },
    { log: ['in', 'a', 'two'] },
  ]);
});

test('an update is refused while a run is running', async () => {
  const threadId = await interruptedThread();
  await createRun(database.pool, threadId);
  await expect(
    graph.updateState({ threadId, config: CONFIG, values: { log: ['x'] }, asNode: 'a' }),
  ).rejects.toMatchObject({ code: 'thread_busy' });
  expect(await graph.getHistory(historyQuery(threadId))).toHaveLength(3);
});

test('a graph is drawn, with its subgraphs on demand, and names them', async () => {
  const flat = await graph.draw(CONFIG, false);
  expect((flat['nodes'] as { id: string }[]).map(({ id }) => id)).toEqual([
    '__start__',
    'a',
    'sub',
    '__end__',
  ]);
  const deep = await graph.draw(CONFIG, true);
  expect(JSON.stringify(deep)).toContain('sub:inner');
  expect(Object.keys(await graph.subgraphs(CONFIG, undefined, false))).toEqual(['sub']);
});

test('schemas come from zod when the state has them, and name the channels when not', async () => {
  const zodState = z.object({ question: z.string(), count: z.number().default(0) });
  const registry = createGraphRegistry(createDependencies(database.pool), {
    graphs: { z: new StateGraph(zodState).addNode('n', () => ({})).addEdge(START, 'n') },
  });
  const schemas = await (await registry.get('z')).schemas(CONFIG);
  expect(schemas).toMatchObject({
    graph_id: 'z',
    state_schema: { type: 'object', properties: { question: { type: 'string' } } },
  });
  expect(await graph.schemas(CONFIG)).toMatchObject({
    input_schema: { type: 'object', properties: { log: {} } },
  });
});
