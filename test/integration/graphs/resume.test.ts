/** A worker dies between supersteps, or at the worst moment of one; the next attempt goes on. */
import { Annotation, END, START, StateGraph, interrupt } from '@langchain/langgraph';
import { createGraphRegistry } from '../../../src/graphs/registry.ts';
import type { Execution, ExecutionResult, Graph } from '../../../src/graphs/port.ts';
import { createDeferred } from '../../../src/lib/deferred.ts';
import {
  createDependencies,
  createExecution,
  createSink,
  createThread,
} from '../../support/graphs.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

/** a → b → c; each notes that it ran. `dies` makes a node of one attempt hang until the process is "killed". */
function chain(ran: string[], hooks: { b?: () => Promise<void> } = {}): Promise<Graph> {
  const graph = new StateGraph(State)
    .addNode('a', () => {
      ran.push('a');
      return { log: ['a'] };
    })
    .addNode('b', async () => {
      ran.push('b');
      await hooks.b?.();
      return { log: ['b'] };
    })
    .addNode('c', () => {
      ran.push('c');
      return { log: ['c'] };
    })
    .addEdge(START, 'a')
    .addEdge('a', 'b')
    .addEdge('b', 'c')
    .addEdge('c', END)
    .compile();
  return createGraphRegistry(createDependencies(database.pool), { graphs: { chain: graph } }).get(
    'chain',
  );
}

async function nextAttempt(graph: Graph, dead: Execution): Promise<ExecutionResult> {
  await database.pool.query('UPDATE threads SET term = 2 WHERE thread_id = $1', [dead.threadId]);
  return graph.execute({
    ...dead,
    attempt: 2,
    signal: new AbortController().signal,
    writer: { ...dead.writer, term: 2 },
  });
}

test('an attempt killed in its second superstep is resumed after the first', async () => {
  const ran: string[] = [];
  const entered = createDeferred();
  let dead = true;
  const graph = await chain(ran, {
    b: () => {
      entered.resolve();
      return dead ? new Promise(() => undefined) : Promise.resolve();
    },
  });
  const threadId = await createThread(database.pool);
  const execution = createExecution(threadId, createSink(), {
    input: { log: ['in'] },
    durability: 'sync',
  });
  // Never settles: the process is gone.
  void graph.execute(execution);
  await entered.promise;
  dead = false;
  const result = await nextAttempt(graph, execution);
  expect(ran).toEqual(['a', 'b', 'b', 'c']);
  expect(result.output).toEqual({ log: ['in', 'a', 'b', 'c'] });
  expect(result.state.next).toEqual([]);
});

test('an attempt that died before its first checkpoint starts over with its input', async () => {
  const ran: string[] = [];
  const graph = await chain(ran);
  const threadId = await createThread(database.pool);
  const earlier = createExecution(threadId, createSink(), { input: { log: ['one'] } });
  await graph.execute(earlier);
  ran.length = 0;
  const dead = createExecution(threadId, createSink(), { input: { log: ['two'] } });
  const result = await nextAttempt(graph, dead);
  expect(ran).toEqual(['a', 'b', 'c']);
  expect(result.output).toEqual({ log: ['one', 'a', 'b', 'c', 'two', 'a', 'b', 'c'] });
});

test('an attempt that died after its last superstep runs nothing again', async () => {
  const ran: string[] = [];
  const graph = await chain(ran);
  const threadId = await createThread(database.pool);
  const dead = createExecution(threadId, createSink(), { input: { log: [] } });
  await graph.execute(dead);
  const result = await nextAttempt(graph, dead);
  expect(ran).toEqual(['a', 'b', 'c']);
  expect(result.output).toEqual({ log: ['a', 'b', 'c'] });
});

test.each([
  ['before', { interruptBefore: ['b'] }],
  ['after', { interruptAfter: ['a'] }],
  ['before all', { interruptBefore: '*' as const, runs: [] }],
])('an attempt that died at a breakpoint %s a node stays there', async (_where, given) => {
  const { runs, ...breakpoints } = { runs: ['a'], ...given };
  const ran: string[] = [];
  const graph = await chain(ran);
  const threadId = await createThread(database.pool);
  const sink = createSink();
  const dead = createExecution(threadId, sink, { input: { log: [] }, ...breakpoints });
  const first = await graph.execute(dead);
  expect(first.state.next).toEqual([runs.length === 0 ? 'a' : 'b']);
  expect(first.output).toEqual({ __interrupt__: [] });
  const second = await nextAttempt(graph, dead);
  expect(ran).toEqual(runs);
  expect([second.state, second.output]).toEqual([first.state, first.output]);

  // Continuing is another run's business.
  const onwards = createExecution(threadId, sink, {
    term: 2,
    ...breakpoints,
    interruptBefore: null,
  });
  expect((await graph.execute(onwards)).output).toEqual({ log: ['a', 'b', 'c'] });
});

test('a resume that died before its first checkpoint brings its answer again', async () => {
  let asked = 0;
  const graph = await createGraphRegistry(createDependencies(database.pool), {
    graphs: {
      ask: new StateGraph(State)
        .addNode('ask', async () => {
          const answer = interrupt<string, string>('go on?');
          asked += 1;
          if (asked === 1) await new Promise(() => undefined);
          return { log: [answer] };
        })
        .addEdge(START, 'ask'),
    },
  }).get('ask');
  const threadId = await createThread(database.pool);
  await graph.execute(createExecution(threadId, createSink(), { input: { log: [] } }));
  const dead = createExecution(threadId, createSink(), {
    command: { resume: 'yes' },
    durability: 'sync',
  });
  // Its writes may still be on their way when the next attempt fences it.
  graph.execute(dead).catch(() => undefined);
  while (asked === 0) await new Promise(setImmediate);
  const result = await nextAttempt(graph, dead);
  expect(result.output).toEqual({ log: ['yes'] });
});

test('a fork that died goes on from its own checkpoint, not from the one it forked from', async () => {
  const ran: string[] = [];
  const graph = await chain(ran);
  const threadId = await createThread(database.pool);
  await graph.execute(createExecution(threadId, createSink(), { input: { log: ['in'] } }));
  const history = await graph.getHistory({
    threadId,
    config: { configurable: {}, metadata: {} },
    subgraphs: false,
    limit: 10,
  });
  const afterA = history.find((state) => state.next[0] === 'b');
  const dead = createExecution(threadId, createSink(), {
    config: {
      configurable: { checkpoint_id: afterA?.checkpoint?.['checkpoint_id'], checkpoint_ns: '' },
      metadata: {},
    },
    interruptAfter: ['b'],
  });
  ran.length = 0;
  await graph.execute(dead);
  expect(ran).toEqual(['b']);
  const result = await nextAttempt(graph, { ...dead, interruptAfter: null });
  expect(ran).toEqual(['b', 'c']);
  expect(result.output).toEqual({ log: ['in', 'a', 'b', 'c'] });
});

test('an attempt killed inside a subgraph goes on inside it', async () => {
  const ran: string[] = [];
  const entered = createDeferred();
  let dead = true;
  const sub = new StateGraph(State)
    .addNode('one', () => {
      ran.push('one');
      return { log: ['one'] };
    })
    .addNode('two', async () => {
      ran.push('two');
      entered.resolve();
      if (dead) await new Promise(() => undefined);
      return { log: ['two'] };
    })
    .addEdge(START, 'one')
    .addEdge('one', 'two')
    .compile();
  const graph = await createGraphRegistry(createDependencies(database.pool), {
    graphs: {
      parent: new StateGraph(State)
        // A node's wrapper keeps the parent's log from being added to itself.
        .addNode('sub', async (_state, config) => {
          const { log } = await sub.invoke({ log: [] }, config);
          return { log };
        })
        .addEdge(START, 'sub'),
    },
  }).get('parent');
  const threadId = await createThread(database.pool);
  const execution = createExecution(threadId, createSink(), {
    input: { log: ['in'] },
    durability: 'sync',
  });
  void graph.execute(execution);
  await entered.promise;
  dead = false;
  const result = await nextAttempt(graph, execution);
  expect(ran).toEqual(['one', 'two', 'two']);
  expect(result.output).toEqual({ log: ['in', 'one', 'two'] });
});
