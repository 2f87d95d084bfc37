/**
 * What a graph has said before it fails. LangGraph.js throws away what its stream still holds when it fails, while
 * the checkpoints and writes of what had ended before stay: the next attempt would not say it again.
 */
import { Annotation, START, StateGraph } from '@langchain/langgraph';
import type { LangGraphRunnableConfig } from '@langchain/langgraph';
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

const EVENTS = 60;
const State = Annotation.Root({
  said: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});
const failure = new RangeError('the node fails');

/** Says everything at once, as a node that only computes. */
const talk = (_state: unknown, config: LangGraphRunnableConfig): typeof State.Update => {
  for (let n = 0; n < EVENTS; n++) config.writer?.({ n });
  return { said: ['talk'] };
};
const fail = (): never => {
  throw failure;
};
const withGraph = (graph: unknown): Promise<Graph> =>
  createGraphRegistry(createDependencies(database.pool), { graphs: { graph } }).get('graph');

const inTurn = () =>
  new StateGraph(State)
    .addNode('talk', talk)
    .addNode('fail', fail)
    .addEdge(START, 'talk')
    .addEdge('talk', 'fail')
    .compile();
const together = () =>
  new StateGraph(State)
    .addNode('talk', talk)
    .addNode('fail', fail)
    .addEdge(START, 'talk')
    .addEdge(START, 'fail')
    .compile();
const itself = () =>
  new StateGraph(State)
    .addNode('talk', (state, config) => {
      talk(state, config);
      return fail();
    })
    .addEdge(START, 'talk')
    .compile();
/** Never ends: the limit of steps is the failure. */
const endless = () =>
  new StateGraph(State)
    .addNode('talk', talk)
    .addEdge(START, 'talk')
    .addEdge('talk', 'talk')
    .compile();

test.each([
  ['the node before', inTurn, failure, EVENTS],
  ['a node beside', together, failure, EVENTS],
  ['the node itself', itself, failure, EVENTS],
  ['the last of too many steps', endless, { name: 'GraphRecursionError' }, 5 * EVENTS],
] as const)(
  'all that %s has said is told before the failure',
  async (_who, graph, error, count) => {
    for (const durability of ['async', 'sync', 'exit'] as const) {
      const threadId = await createThread(database.pool);
      const sink = createSink();
      const execution = createExecution(threadId, sink, {
        input: { said: [] },
        streamModes: ['custom'],
        durability,
        config: { configurable: {}, metadata: {}, recursion_limit: 5 },
      });
      await expect((await withGraph(graph())).execute(execution)).rejects.toMatchObject(error);
      const said = sink.events.filter(({ type }) => type === 'custom').map(({ data }) => data);
      expect(said).toEqual(Array.from({ length: count }, (_, n) => ({ n: n % EVENTS })));
    }
  },
);
