/** What a run can be started with, and that it reaches the graph. */
import {
  Annotation,
  Command,
  END,
  START,
  StateGraph,
  entrypoint,
  interrupt,
  task,
  type LangGraphRunnableConfig,
} from '@langchain/langgraph';
import { createGraphRegistry } from '../../../src/graphs/registry.ts';
import type { Execution, ExecutionResult, Graph } from '../../../src/graphs/port.ts';
import {
  createDependencies,
  createExecution,
  createSink,
  createThread,
} from '../../support/graphs.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';

const State = Annotation.Root({
  log: Annotation<unknown[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const load = (graph: unknown): Promise<Graph> =>
  createGraphRegistry(createDependencies(database.pool), { graphs: { g: graph } }).get('g');

async function run(
  graph: Graph,
  given: Partial<Execution>,
  threadId?: string,
): Promise<ExecutionResult> {
  const thread = threadId ?? (await createThread(database.pool));
  return graph.execute(createExecution(thread, createSink(), given));
}

/** start → (ends) first; the others only by goto. */
const gotoGraph = (): object =>
  new StateGraph(State)
    .addNode('first', () => ({ log: ['first'] }), { ends: ['second', 'each'] })
    .addNode('second', () => ({ log: ['second'] }))
    .addNode('each', (state: { item?: unknown }) => ({ log: [state.item] }))
    .addEdge(START, 'first')
    .addEdge('first', END);

test('a command updates the state and goes to nodes, with or without an input of their own', async () => {
  const graph = await load(gotoGraph());
  const threadId = await createThread(database.pool);
  await run(graph, { input: { log: ['in'] } }, threadId);
  const update = { log: ['updated'] };
  const one = await run(graph, { command: { update, goto: 'second' } }, threadId);
  expect(one.output).toEqual({ log: ['in', 'first', 'updated', 'second'] });
  const goto = [
    { node: 'each', input: { item: 1 } },
    { node: 'each', input: { item: 2 } },
  ];
  const two = await run(graph, { command: { goto } }, threadId);
  expect(two.output).toEqual({ log: ['in', 'first', 'updated', 'second', 1, 2] });
  const pairs = await run(graph, { command: { update: [['log', ['pair']]] } }, threadId);
  expect(pairs.output).toMatchObject({ log: expect.arrayContaining(['pair']) as unknown[] });
});

test('several interrupts are answered by their ids', async () => {
  const ask = (name: string) => (): object => ({ log: [[name, interrupt<string, unknown>(name)]] });
  const graph = await load(
    new StateGraph(State)
      .addNode('a', ask('a'))
      .addNode('b', ask('b'))
      .addEdge(START, 'a')
      .addEdge(START, 'b'),
  );
  const threadId = await createThread(database.pool);
  const { state } = await run(graph, { input: { log: [] } }, threadId);
  expect(state.next.toSorted()).toEqual(['a', 'b']);
  const interrupts = Object.values(state.interrupts).flat() as { id: string; value: string }[];
  expect(interrupts.map(({ value }) => value).toSorted()).toEqual(['a', 'b']);
  const resume = Object.fromEntries(interrupts.map(({ id, value }) => [id, value === 'a' ? 0 : 1]));
  const { output, state: after } = await run(graph, { command: { resume } }, threadId);
  expect(after.next).toEqual([]);
  expect(output).toEqual({
    log: [
      ['a', 0],
      ['b', 1],
    ],
  });
});

test('configurable, context, metadata, tags and the ids of run and thread reach the node', async () => {
  let seen: LangGraphRunnableConfig | undefined;
  const graph = await load(
    new StateGraph(State, Annotation.Root({ user: Annotation<string>() }))
      .addNode('look', (_state, config: LangGraphRunnableConfig) => {
        seen = config;
        return {};
      })
      .addEdge(START, 'look'),
  );
  const threadId = await createThread(database.pool);
  const execution = createExecution(threadId, createSink(), {
    input: { log: ['x'] },
    context: { user: 'u1' },
    config: { configurable: { 'x-key': 'v' }, metadata: { m: 1 }, tags: ['t'] },
  });
  await graph.execute(execution);
  expect(seen).toMatchObject({
    configurable: { 'x-key': 'v', thread_id: threadId, run_id: execution.runId },
    metadata: { m: 1, run_id: execution.runId, run_attempt: 1 },
    context: { user: 'u1' },
  });
  expect(seen?.tags).toContain('t');
  expect(seen?.signal).toBeInstanceOf(AbortSignal);
});

test('the recursion limit ends a graph that does not', async () => {
  const graph = await load(
    new StateGraph(State)
      .addNode('again', () => new Command({ goto: 'again' }), { ends: ['again'] })
      .addEdge(START, 'again'),
  );
  await expect(
    run(graph, {
      input: { log: [] },
      config: { configurable: {}, metadata: {}, recursion_limit: 3 },
    }),
  ).rejects.toMatchObject({ name: 'GraphRecursionError' });
});

test('no input on a finished thread is an error', async () => {
  const graph = await load(gotoGraph());
  const threadId = await createThread(database.pool);
  await expect(run(graph, {}, threadId)).rejects.toMatchObject({ name: 'EmptyInputError' });
});

test('an entrypoint of the functional API is a graph, with its interrupts', async () => {
  const double = task('double', (n: number) => Promise.resolve(n * 2));
  const graph = await load(
    entrypoint('flow', async (n: number) => {
      const doubled = await double(n);
      return doubled + interrupt<string, number>('plus?');
    }),
  );
  const threadId = await createThread(database.pool);
  const first = await run(graph, { input: 2 }, threadId);
  expect(first.output).toEqual({
    __interrupt__: [{ id: expect.any(String) as string, value: 'plus?' }],
  });
  const second = await run(graph, { command: { resume: 1 } }, threadId);
  expect(second.output).toBe(5);
});

test('a factory makes a graph from the config of each run', async () => {
  const graph = await load(({ configurable }: Execution['config']) =>
    new StateGraph(State).addNode('n', () => ({ log: [configurable['who']] })).addEdge(START, 'n'),
  );
  for (const who of ['a', 'b']) {
    const config = { configurable: { who }, metadata: {} };
    expect((await run(graph, { input: { log: [] }, config })).output).toEqual({ log: [who] });
  }
});

test('runs of one graph at the same time do not meet', async () => {
  const graph = await load(
    new StateGraph(State)
      .addNode('n', async ({ log }: typeof State.State) => {
        await new Promise(setImmediate);
        return { log: [`${String(log[0])} done`] };
      })
      .addEdge(START, 'n'),
  );
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, n) => run(graph, { input: { log: [n] } })),
  );
  expect(results.map(({ output }) => output)).toEqual(
    results.map((_, n) => ({ log: [n, `${n} done`] })),
  );
});
