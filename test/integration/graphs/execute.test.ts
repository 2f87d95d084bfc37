import { createGraphRegistry } from '../../../src/graphs/registry.ts';
import type { GraphRegistry } from '../../../src/graphs/port.ts';
import {
  createDependencies,
  createExecution,
  createSink,
  createThread,
} from '../../support/graphs.ts';
import type { Db } from '../../../src/postgres/pool.ts';
import { holdGatherWindow } from '../../support/gather-window.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';

let database: TestDatabase;
let registry: GraphRegistry;

beforeAll(async () => {
  database = await createTestDatabase();
  registry = createGraphRegistry(createDependencies(database.pool), {
    file: 'examples/langgraph/langgraph.json',
  });
});
afterAll(() => database.drop());

let close: (() => void) | undefined;
afterEach(() => {
  close?.();
  close = undefined;
});

test('an agent answers, its messages are flat, and three checkpoints are left', async () => {
  const graph = await registry.get('agent');
  const threadId = await createThread(database.pool);
  const sink = createSink();
  const result = await graph.execute(
    createExecution(threadId, sink, { input: { messages: [{ role: 'user', content: 'hi' }] } }),
  );
  expect(sink.events.map((event) => event.type)).toEqual(['values', 'values']);
  expect(result.output).toMatchObject({
    messages: [
      { type: 'human', content: 'hi' },
      { type: 'ai', content: 'You said: hi' },
    ],
  });
  expect(result.state).toEqual({ values: result.output, next: [], interrupts: {} });
  const { rows } = await database.pool.query('SELECT 1 FROM checkpoints WHERE thread_id = $1', [
    threadId,
  ]);
  expect(rows).toHaveLength(3);
});

test('a graph stops at an interrupt and goes on with the answer, even when it is false', async () => {
  const graph = await registry.get('interrupt');
  const threadId = await createThread(database.pool);
  const sink = createSink();
  const first = await graph.execute(
    createExecution(threadId, sink, { input: { item: 'tea' }, streamModes: ['updates', 'values'] }),
  );
  const interrupt = {
    id: expect.any(String) as string,
    value: { question: 'Shall this be ordered?', item: 'tea' },
  };
  expect(sink.of('updates').at(-1)).toEqual({ __interrupt__: [interrupt] });
  expect(first.output).toEqual({ __interrupt__: [interrupt] });
  expect(first.state.next).toEqual(['approval']);
  expect(Object.values(first.state.interrupts)).toEqual([[interrupt]]);
  expect(first.state.values).toEqual({ item: 'tea' });

  const second = await graph.execute(
    createExecution(threadId, sink, { command: { resume: false } }),
  );
  expect(second.output).toMatchObject({ approved: false, result: 'did not order tea' });
  expect(second.state.next).toEqual([]);
});

test('a run of one node costs one read and one write', async () => {
  const sent: string[] = [];
  const { pool } = database;
  const counted = {
    query: (config: { name: string; text: string; values: unknown[] }) => {
      sent.push(config.name);
      return pool.query(config);
    },
  } as unknown as Db;
  const dependencies = createDependencies(counted);
  const graph = await createGraphRegistry(dependencies, {
    file: 'examples/langgraph/langgraph.json',
  }).get('agent');
  const input = { messages: [{ role: 'user', content: 'hi' }] };
  close = holdGatherWindow();
  for (const attempt of ['fresh thread', 'thread with a state']) {
    const threadId = await createThread(pool);
    if (attempt !== 'fresh thread')
      await graph.execute(createExecution(threadId, createSink(), { input }));
    sent.length = 0;
    await graph.execute(createExecution(threadId, createSink(), { input }));
    expect(sent).toEqual(['checkpoint-latest', expect.stringMatching(/^checkpoint-write-relaxed/)]);
  }
});

test('a run on a fresh thread that leaves its last checkpoints to its end costs nothing of its own', async () => {
  const sent: string[] = [];
  const counted = {
    query: (config: { name: string }) => Promise.resolve(sent.push(config.name)),
  } as unknown as Db;
  const graph = await createGraphRegistry(createDependencies(counted), {
    file: 'examples/langgraph/langgraph.json',
  }).get('agent');
  const threadId = await createThread(database.pool);
  close = holdGatherWindow();
  const { checkpoints } = await graph.execute(
    createExecution(threadId, createSink(), {
      input: { messages: [{ role: 'user', content: 'hi' }] },
      freshThread: true,
      leavesLastCheckpoints: true,
    }),
  );
  expect(sent).toEqual([]);
  expect(checkpoints?.checkpoints.map(({ metadata }) => metadata['step'])).toEqual([-1, 0, 1]);
});
