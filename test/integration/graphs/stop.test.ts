/** Executions that are stopped from outside: aborted, fenced, or by an event that cannot be sent. */
import { Annotation, START, StateGraph } from '@langchain/langgraph';
import type { LangGraphRunnableConfig } from '@langchain/langgraph';
import { setTimeout as delay } from 'node:timers/promises';
import { createDeferred } from '../../../src/lib/deferred.ts';
import { createGraphRegistry } from '../../../src/graphs/registry.ts';
import type { Graph } from '../../../src/graphs/port.ts';
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

const State = Annotation.Root({ value: Annotation<unknown>() });
const never = new Promise<void>(() => undefined);

function twoSteps(
  first: () => unknown,
  second: () => unknown = () => ({ value: 'second' }),
): Promise<Graph> {
  const graph = new StateGraph(State)
    .addNode('first', async () => ({ value: await first() }))
    .addNode('second', async () => ({ value: await second() }))
    .addEdge(START, 'first')
    .addEdge('first', 'second')
    .compile();
  return createGraphRegistry(createDependencies(database.pool), { graphs: { two: graph } }).get(
    'two',
  );
}

async function checkpoints(threadId: string): Promise<number> {
  const { rows } = await database.pool.query<{ count: number }>(
    'SELECT count(*) FROM checkpoints WHERE thread_id = $1',
    [threadId],
  );
  return rows[0]?.count ?? 0;
}

test('an abort ends a node that ignores its signal, and what was finished is kept', async () => {
  const entered = createDeferred();
  const graph = await twoSteps(
    () => 'first',
    async () => {
      entered.resolve();
      await never;
      return 'second';
    },
  );
  const threadId = await createThread(database.pool);
  const abort = new AbortController();
  const running = graph.execute(
    createExecution(threadId, createSink(), { input: { value: 'in' }, signal: abort.signal }),
  );
  const ended = expect(running).rejects.toMatchObject({ name: 'AbortError' });
  await entered.promise;
  abort.abort(new Error('cancelled'));
  await ended;
  const state = await graph.getState({
    threadId,
    config: { configurable: {}, metadata: {} },
    subgraphs: false,
  });
  expect(state.values).toEqual({ value: 'first' });
  expect(state.next).toEqual(['second']);
});

test('an execution whose signal is aborted already runs no node', async () => {
  let ran = false;
  const graph = await twoSteps(() => (ran = true));
  const threadId = await createThread(database.pool);
  await expect(
    graph.execute(
      createExecution(threadId, createSink(), { input: { value: 1 }, signal: AbortSignal.abort() }),
    ),
  ).rejects.toMatchObject({ name: 'AbortError' });
  expect(ran).toBe(false);
});

test.each(['sync', 'async', 'exit'] as const)(
  'a run whose term is over writes nothing and fails, with durability %s',
  async (durability) => {
    const graph = await twoSteps(() => 'first');
    const threadId = await createThread(database.pool);
    await expect(
      graph.execute(
        createExecution(threadId, createSink(), { input: { value: 1 }, term: 0, durability }),
      ),
    ).rejects.toMatchObject({ code: 'term_fenced' });
    expect(await checkpoints(threadId)).toBe(0);
  },
);

test('a term that ends in the middle of a run stops it before its next step', async () => {
  let second = false;
  const threadId = await createThread(database.pool);
  const graph = await twoSteps(
    async () => {
      await database.pool.query('UPDATE threads SET term = 2 WHERE thread_id = $1', [threadId]);
      return 'first';
    },
    () => (second = true),
  );
  await expect(
    graph.execute(
      createExecution(threadId, createSink(), { input: { value: 1 }, durability: 'sync' }),
    ),
  ).rejects.toMatchObject({ code: 'term_fenced' });
  expect(second).toBe(false);
});

test('an event that cannot be serialised ends the run and names its key', async () => {
  let second = false;
  const graph = await twoSteps(
    () => ({ big: { number: 1n } }),
    async () => {
      // Longer than any machine takes to tell.
      await delay(20_000, undefined, { ref: false });
      second = true;
      return 1;
    },
  );
  const threadId = await createThread(database.pool);
  await expect(
    graph.execute(createExecution(threadId, createSink(), { input: { value: 1 } })),
  ).rejects.toMatchObject({
    code: 'event_invalid',
    message: expect.stringContaining('"value.big.number"') as string,
  });
  expect(second).toBe(false);
});

test('a graph waits between steps while the sink has no room', async () => {
  let second = false;
  const room = createDeferred();
  const graph = await twoSteps(
    () => 'first',
    () => (second = true),
  );
  const threadId = await createThread(database.pool);
  const sink = createSink();
  const running = graph.execute(
    createExecution(threadId, { ...sink, drained: () => room.promise }, { input: { value: 1 } }),
  );
  await delay(100);
  expect(second).toBe(false);
  room.resolve();
  await running;
  expect(second).toBe(true);
});

test('an abort does not wait for room in the sink', async () => {
  const graph = await twoSteps(() => 'first');
  const threadId = await createThread(database.pool);
  const abort = new AbortController();
  const asked = createDeferred();
  const sink = {
    ...createSink(),
    drained: () => {
      asked.resolve();
      return never;
    },
  };
  const ended = expect(
    graph.execute(createExecution(threadId, sink, { input: { value: 1 }, signal: abort.signal })),
  ).rejects.toMatchObject({ name: 'AbortError' });
  await asked.promise;
  abort.abort();
  await ended;
});

test('what a graph throws comes out as it is', async () => {
  class OwnError extends Error {}
  const graph = await twoSteps(() => {
    throw new OwnError('no');
  });
  const threadId = await createThread(database.pool);
  await expect(
    graph.execute(createExecution(threadId, createSink(), { input: { value: 1 } })),
  ).rejects.toBeInstanceOf(OwnError);
});

test.each(['sync', 'async', 'exit'] as const)(
  'stopped while its events wait for room, with durability %s: the next attempt says what was not taken',
  async (durability) => {
    const EVENTS = 60;
    const graph = new StateGraph(State)
      .addNode('talk', (_state, config: LangGraphRunnableConfig) => {
        for (let n = 0; n < EVENTS; n++) config.writer?.({ n });
        return { value: 'talk' };
      })
      .addNode('last', () => ({ value: 'last' }))
      .addEdge(START, 'talk')
      .addEdge('talk', 'last')
      .compile();
    const registry = createGraphRegistry(createDependencies(database.pool), { graphs: { graph } });
    const talking = await registry.get('graph');
    const threadId = await createThread(database.pool);
    const abort = new AbortController();
    const full = createDeferred();
    const put = createDeferred();
    const narrow = createSink();
    const sink = {
      ...narrow,
      drained: () => {
        if (narrow.of('custom').length < 5) return undefined;
        full.resolve();
        return never;
      },
    };
    const given = { input: { value: 'in' }, streamModes: ['custom'], durability } as const;
    const first = createExecution(threadId, sink, {
      ...given,
      signal: abort.signal,
      onStep: (step) => {
        if (step === 1) put.resolve();
      },
    });
    const ended = expect(talking.execute(first)).rejects.toMatchObject({ name: 'AbortError' });
    await full.promise;
    if (durability !== 'exit') await put.promise;
    abort.abort(new Error('shutdown'));
    await ended;

    const roomy = createSink();
    await talking.execute(
      createExecution(threadId, roomy, { ...given, runId: first.runId, attempt: 2 }),
    );
    const said = [...narrow.of('custom'), ...roomy.of('custom')].map(
      (event) => (event as { n: number }).n,
    );
    expect(new Set(said)).toEqual(new Set(Array.from({ length: EVENTS }, (_, n) => n)));
  },
);
