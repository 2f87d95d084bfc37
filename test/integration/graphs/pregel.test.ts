/** Pregel applications behind the graph port, on Postgres. */
import type { GraphRegistry } from '../../../src/graphs/port.ts';
import { createGraphRegistry } from '../../../src/graphs/registry.ts';
import { interrupt, reduced, START, StateGraph } from '../../../src/pregel/index.ts';
import type { Db } from '../../../src/postgres/pool.ts';
import { z } from 'zod';
import {
  configFor,
  createDependencies,
  createExecution,
  createSink,
  createThread,
} from '../../support/graphs.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';

const FILE = 'examples/pregel/langgraph.json';
let database: TestDatabase;
let registry: GraphRegistry;

beforeAll(async () => {
  database = await createTestDatabase();
  registry = createGraphRegistry(createDependencies(database.pool), { file: FILE });
});
afterAll(() => database.drop());

const query = (threadId: string) => ({ threadId, config: configFor('approval'), subgraphs: false });

test.each([
  ['single_node', { a: 'foo' }, { b: 'foofoo' }],
  ['multiple_nodes', { a: 'foo' }, { b: 'foofoo', c: 'foofoofoofoo' }],
  ['topic', { a: 'foo' }, { c: ['foofoo', 'foofoofoofoo'] }],
  ['binary_operator_aggregate', { a: 'foo' }, { c: 'foofoo | update' }],
  ['cycle', { value: 'a' }, { value: 'aaaaaaaaaaaaaaaa' }],
  ['essay', { topic: 'mills' }, { topic: 'mills', content: 'Essay about mills', score: 10 }],
  ['write_essay', { topic: 'mills' }, { content: 'Essay about mills', score: 10 }],
])('the example %s gives the output the seed shows', async (graphId, input, output) => {
  const graph = await registry.get(graphId);
  const threadId = await createThread(database.pool);
  const result = await graph.execute(createExecution(threadId, createSink(), { input }));
  expect(result.output).toEqual(output);
  expect(result.state.next).toEqual([]);
});

test('a graph stops at an interrupt and goes on with the answer, in another process', async () => {
  const threadId = await createThread(database.pool);
  const sink = createSink();
  const first = await (
    await registry.get('approval')
  ).execute(
    createExecution(threadId, sink, { input: { item: 'tea' }, streamModes: ['updates', 'values'] }),
  );
  const interrupt = {
    id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
    value: { question: 'Shall this be ordered?', item: 'tea' },
  };
  expect(sink.of('updates')).toEqual([{ __interrupt__: [interrupt] }]);
  expect(sink.of('values')).toEqual([{ item: 'tea', log: [] }, { __interrupt__: [interrupt] }]);
  expect(first.output).toEqual({ __interrupt__: [interrupt] });
  expect(first.state.next).toEqual(['ask']);
  expect(Object.values(first.state.interrupts)).toEqual([[interrupt]]);

  const other = createGraphRegistry(createDependencies(database.pool), { file: FILE });
  const again = createSink();
  const second = await (
    await other.get('approval')
  ).execute(
    createExecution(threadId, again, {
      command: { resume: true },
      streamModes: ['custom', 'updates'],
      streamSubgraphs: true,
    }),
  );
  expect(second.output).toMatchObject({
    approved: true,
    receipt: 'receipt for tea',
    log: ['approved: true', 'paid'],
  });
  expect(again.events.map((event) => event.type.replace(/:[0-9a-f-]{36}/, ''))).toEqual([
    'custom',
    'updates',
    'updates|pay',
    'updates',
  ]);

  const graph = await registry.get('approval');
  const state = await graph.getState(query(threadId));
  expect(state.values).toEqual(second.state.values);
  const history = await graph.getHistory({ ...query(threadId), limit: 10 });
  expect(history.map((each) => [each.metadata['step'], each.next])).toEqual([
    [2, []],
    [1, ['pay']],
    [0, ['ask']],
    [-1, ['__start__']],
  ]);
  expect(history[0]?.parent_checkpoint?.['checkpoint_id']).toBe(
    history[1]?.checkpoint?.['checkpoint_id'],
  );
});

test('the false answer is an answer; state can be changed and replayed from any checkpoint', async () => {
  const threadId = await createThread(database.pool);
  const graph = await registry.get('approval');
  const run = (given: Parameters<typeof createExecution>[2]) =>
    graph.execute(createExecution(threadId, createSink(), given));
  await run({ input: { item: 'tea' } });
  const refused = await run({ command: { resume: false } });
  expect(refused.state.values).toMatchObject({ approved: false, log: ['approved: false'] });

  const [, asked] = await graph.getHistory({ ...query(threadId), limit: 10 });
  const fork = await graph.updateState({
    threadId,
    config: configFor('approval'),
    checkpointId: asked?.checkpoint?.['checkpoint_id'] as string,
    values: { item: 'coffee', approved: true },
    asNode: 'ask',
  });
  expect(fork).toMatchObject({ thread_id: threadId, checkpoint_ns: '' });
  expect((await graph.getState(query(threadId))).next).toEqual(['pay']);
  const paid = await run({ input: null });
  expect(paid.state.values).toMatchObject({ item: 'coffee', receipt: 'receipt for coffee' });
  // Both branches are there, and the first one still has its own values.
  const first = await graph.getState({
    ...query(threadId),
    checkpointId: asked?.checkpoint?.['checkpoint_id'] as string,
  });
  expect(first.values).toMatchObject({ item: 'tea' });
});

test('a second attempt goes on where the first one died', async () => {
  const ran: string[] = [];
  let dies = true;
  const State = z.object({
    log: reduced(z.array(z.string()), { reduce: (a, b) => [...a, ...b], initial: () => [] }),
  });
  const stop = new AbortController();
  const app = new StateGraph(State)
    .addNode('a', () => {
      ran.push('a');
      return { log: ['a'] };
    })
    .addNode('b', async (_state, context) => {
      const sent = await context.effect('mail', () => {
        ran.push('mail');
        return 'sent';
      });
      ran.push('b');
      if (dies) {
        stop.abort(new Error('the worker is gone'));
        await new Promise(() => undefined);
      }
      return { log: [`b ${sent}`] };
    })
    .addEdge(START, 'a')
    .addEdge('a', 'b')
    .compile();
  const graph = await createGraphRegistry(createDependencies(database.pool), {
    graphs: { app },
  }).get('app');
  const threadId = await createThread(database.pool);
  const runId = '0198c0de-0000-7000-8000-000000000001';
  const input = { log: ['in'] };
  await expect(
    graph.execute(createExecution(threadId, createSink(), { runId, input, signal: stop.signal })),
  ).rejects.toMatchObject({ name: 'AbortError' });

  dies = false;
  const second = await graph.execute(
    createExecution(threadId, createSink(), { runId, input, attempt: 2 }),
  );
  expect(second.output).toEqual({ log: ['in', 'a', 'b sent'] });
  expect(ran).toEqual(['a', 'mail', 'b', 'b']);
});

test('a run of one node costs one read and at most two writes', async () => {
  const sent: string[] = [];
  const { pool } = database;
  const counted = {
    query: (config: { name: string; text: string; values: unknown[] }) => {
      sent.push(config.name);
      return pool.query(config);
    },
  } as unknown as Db;
  const graph = await createGraphRegistry(createDependencies(counted), { file: FILE }).get(
    'single_node',
  );
  const threadId = await createThread(pool);
  await graph.execute(createExecution(threadId, createSink(), { input: { a: 'x' } }));
  expect(sent.filter((name) => name === 'checkpoint-latest')).toHaveLength(1);
  expect(sent.filter((name) => name === 'checkpoint-write').length).toBeLessThanOrEqual(2);
});

test('a finished graph without input has nothing to do', async () => {
  const graph = await registry.get('essay');
  const threadId = await createThread(database.pool);
  await graph.execute(createExecution(threadId, createSink(), { input: { topic: 'mills' } }));
  await expect(graph.execute(createExecution(threadId, createSink()))).rejects.toMatchObject({
    name: 'EmptyInputError',
  });
  await expect(
    graph.execute(createExecution(threadId, createSink(), { input: { topic: 7 } })),
  ).rejects.toMatchObject({ name: 'InputInvalidError', code: 'input_invalid' });
});

test('schemas and drawing', async () => {
  const graph = await registry.get('essay');
  expect(await graph.schemas(configFor('essay'))).toMatchObject({
    graph_id: 'essay',
    input_schema: { type: 'object', properties: { topic: { type: 'string' } } },
    state_schema: { properties: { score: { type: 'number' } } },
  });
  expect(await graph.draw(configFor('essay'), false)).toEqual({
    nodes: [
      { id: '__start__', type: 'schema', data: '__start__' },
      {
        id: 'write_essay',
        type: 'runnable',
        data: { id: ['pregel', 'actor'], name: 'write_essay' },
      },
      {
        id: 'score_essay',
        type: 'runnable',
        data: { id: ['pregel', 'actor'], name: 'score_essay' },
      },
      { id: '__end__', type: 'schema', data: '__end__' },
    ],
    edges: [
      { source: '__start__', target: 'write_essay', conditional: false },
      { source: 'write_essay', target: 'score_essay', conditional: false },
      { source: 'score_essay', target: '__end__', conditional: false },
    ],
  });
});

test.each([
  [
    'an update',
    async () => {
      await Promise.resolve();
      return { n: 1n };
    },
    'updates',
  ],
  [
    'a question',
    async () => {
      await Promise.resolve();
      return interrupt({ big: 1n });
    },
    'values',
  ],
] as const)('%s that no event can hold ends the run and names its key', async (_, node, mode) => {
  const graph = await createGraphRegistry(createDependencies(database.pool), {
    graphs: {
      big: new StateGraph(z.object({ n: z.unknown() }))
        .addNode('node', node as never)
        .addEdge(START, 'node')
        .compile(),
    },
  }).get('big');
  const threadId = await createThread(database.pool);
  const given = { input: { n: 0 }, streamModes: [mode] };
  await expect(graph.execute(createExecution(threadId, createSink(), given))).rejects.toMatchObject(
    { code: 'event_invalid' },
  );
});
