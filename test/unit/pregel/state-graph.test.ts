import { z } from 'zod';
import {
  Command,
  END,
  GraphInvalidError,
  InputInvalidError,
  InvalidUpdateError,
  messages,
  overwrite,
  reduced,
  Send,
  START,
  StateGraph,
  untracked,
} from '../../../src/pregel/index.ts';

const list = () =>
  reduced(z.array(z.string()), { reduce: (a, b) => [...a, ...b], initial: () => [] });
const State = z.object({ log: list(), n: z.number().default(1) });

test('edges, conditional edges with the state as the node left it, END', async () => {
  const graph = new StateGraph(State)
    .addNode('add', (state) => ({ n: state.n + 1, log: [`n=${state.n + 1}`] }))
    .addEdge(START, 'add')
    .addConditionalEdges('add', (state) => (state.n < 4 ? 'again' : 'stop'), {
      again: 'add',
      stop: END,
    })
    .compile();
  expect(await graph.invoke({})).toEqual({ n: 4, log: ['n=2', 'n=3', 'n=4'] });
});

test('an asynchronous route', async () => {
  const graph = new StateGraph(State)
    .addNode('a', () => ({ log: ['a'] }))
    .addNode('b', () => ({ log: ['b'] }))
    .addConditionalEdges(START, async () => Promise.resolve(['a', 'b'] as const))
    .compile();
  expect((await graph.invoke({})).log).toEqual(['a', 'b']);
});

test('Send runs a node once per packet with its own input', async () => {
  const graph = new StateGraph(State)
    .addNode('one', (state) => ({ log: [`one ${state.n}`] }))
    .addConditionalEdges(START, () => [new Send('one', { n: 10 }), new Send('one', { n: 20 })])
    .compile();
  expect((await graph.invoke({})).log).toEqual(['one 10', 'one 20']);
});

test('a Command updates and goes; a list of them too', async () => {
  const graph = new StateGraph(State)
    .addNode('a', () => new Command({ update: { log: ['a'] }, goto: 'c' }), { ends: ['c'] })
    .addNode('b', () => [
      new Command({ update: { log: ['b'] } }),
      new Command({ goto: new Send('c', { n: 7 }) }),
    ])
    .addNode('c', (state) => ({ log: [`c ${state.n}`] }))
    .addEdge(START, 'a')
    .addEdge(START, 'b')
    .compile();
  expect((await graph.invoke({})).log).toEqual(['a', 'b', 'c 1', 'c 7']);
});

test('a join waits for all, a deferred node for the end', async () => {
  const graph = new StateGraph(State)
    .addNode('a', () => ({ log: ['a'] }))
    .addNode('b', () => ({ log: ['b'] }))
    .addNode('b2', () => ({ log: ['b2'] }))
    .addNode('joined', () => ({ log: ['joined'] }))
    .addNode('last', () => ({ log: ['last'] }), { defer: true })
    .addEdge(START, 'a')
    .addEdge(START, 'b')
    .addEdge(START, 'last')
    .addEdge('b', 'b2')
    .addEdge(['a', 'b2'], 'joined')
    .compile();
  expect((await graph.invoke({})).log).toEqual(['a', 'b', 'b2', 'joined', 'last']);
});

test('a subgraph shares fields, and speaks to the graph around it by Command.PARENT', async () => {
  const inner = new StateGraph(State)
    .addNode('work', () => ({ log: ['inner'] }))
    .addNode(
      'leave',
      () => new Command({ graph: Command.PARENT, update: { log: ['left'] }, goto: 'after' }),
    )
    .addEdge(START, 'work')
    .addEdge('work', 'leave')
    .compile({ name: 'inner' });
  const graph = new StateGraph(State)
    .addNode('inner', inner)
    .addNode('after', () => ({ log: ['after'] }))
    .addEdge(START, 'inner')
    .compile();
  expect((await graph.invoke({ log: ['in'] })).log).toEqual(['in', 'left', 'after']);
  expect(graph.subgraphs().map(([name]) => name)).toEqual(['inner']);
  const alone: unknown = await inner.invoke({}).catch((error: unknown) => error);
  expect(alone).toBeInstanceOf(InvalidUpdateError);
});

test('reducers, overwrite, defaults, untracked fields, undefined is no update', async () => {
  const graph = new StateGraph(
    z.object({ log: list(), plain: z.string().optional(), cache: untracked(z.string()) }),
  )
    .addNode('a', () => ({ log: ['a'], plain: undefined, cache: 'secret' }))
    .addNode('b', (state) => ({ log: overwrite(['only', state.cache]) }))
    .addEdge(START, 'a')
    .addEdge('a', 'b')
    .compile();
  expect(await graph.invoke({ log: ['in'], plain: 'kept' })).toEqual({
    log: ['only', 'secret'],
    plain: 'kept',
    cache: 'secret',
  });
});

test('messages are appended, replaced by id, and removed', async () => {
  const graph = new StateGraph(z.object({ messages: messages() }))
    .addNode('edit', () => ({
      messages: [
        { id: '1', type: 'human', content: 'new' },
        { type: 'remove', id: '2', content: '' },
        { type: 'ai', content: 'answer' },
      ],
    }))
    .addEdge(START, 'edit')
    .compile();
  const { messages: out } = await graph.invoke({
    messages: [
      { id: '1', type: 'human', content: 'old' },
      { id: '2', type: 'ai', content: 'gone' },
    ],
  });
  expect(out.map(({ content }) => content)).toEqual(['new', 'answer']);
  expect(out[1]?.id).toEqual(expect.any(String));
});

test('input and output schemas, context', async () => {
  const graph = new StateGraph(State, {
    input: z.object({ n: z.number() }),
    output: z.object({ log: z.array(z.string()) }),
    context: z.object({ user: z.string() }),
  })
    .addNode('a', (state, { context }) => ({ log: [`${context.user} ${state.n}`] }))
    .addEdge(START, 'a')
    .compile();
  expect(await graph.invoke({ n: 5 }, { context: { user: 'ada' } })).toEqual({ log: ['ada 5'] });
  await expect(graph.invoke({} as never)).rejects.toBeInstanceOf(InputInvalidError);
  expect(graph.jsonSchemas()).toMatchObject({
    input: { required: ['n'] },
    output: { properties: { log: { type: 'array' } } },
    context: { properties: { user: { type: 'string' } } },
  });
});

test('input is validated at the boundary', async () => {
  const graph = new StateGraph(State)
    .addNode('a', () => null)
    .addEdge(START, 'a')
    .compile();
  await expect(graph.invoke({ n: 'many' as never })).rejects.toMatchObject({
    code: 'input_invalid',
  });
});

test('what a node may not return', async () => {
  const returning = (result: unknown) =>
    new StateGraph(State)
      .addNode('a', () => result as never)
      .addEdge(START, 'a')
      .compile()
      .invoke({});
  await expect(returning('text')).rejects.toThrow('"a" returned string');
  await expect(returning([1])).rejects.toThrow('a list without a Command');
  await expect(returning(new Command({ goto: 'nowhere' }))).rejects.toThrow(
    'no node of this graph',
  );
});

test('graphs that cannot be compiled', () => {
  const graph = () => new StateGraph(State).addNode('a', () => null);
  expect(() => graph().compile()).toThrow(GraphInvalidError);
  expect(() => graph().addNode('a', () => null)).toThrow('two nodes');
  expect(() => graph().addNode('log', () => null)).toThrow('field of the state');
  expect(() => graph().addNode('x:y', () => null)).toThrow('no possible name');
  expect(() =>
    graph()
      .addEdge(START, 'b' as never)
      .compile(),
  ).toThrow('"b"');
});

test('Mermaid, with the subgraph opened', () => {
  const inner = new StateGraph(State)
    .addNode('work', () => null)
    .addEdge(START, 'work')
    .compile();
  const graph = new StateGraph(State)
    .addNode('end', inner)
    .addNode('other', () => null)
    .addEdge(START, 'end')
    .addConditionalEdges('end', () => 'more', { more: 'other', stop: END })
    .compile();
  expect(graph.mermaid()).toBe(
    [
      'graph TD',
      '  __start__(["__start__"])',
      '  n1["end"]',
      '  other["other"]',
      '  __end__(["__end__"])',
      '  __start__ --> n1',
      '  n1 -.->|"more"| other',
      '  n1 -.->|"stop"| __end__',
      '  other --> __end__',
      '',
    ].join('\n'),
  );
  expect(graph.draw(1).nodes.map(({ id }) => id)).toEqual([
    '__start__',
    'end:__start__',
    'end:work',
    'end:__end__',
    'other',
    '__end__',
  ]);
});
