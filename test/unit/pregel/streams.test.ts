/** All stream modes come in one pass, with namespaces for the graphs inside. */
import { z } from 'zod';
import {
  Channel,
  EphemeralValue,
  messages,
  Pregel,
  PREGEL_STREAM_MODES,
  reduced,
  START,
  StateGraph,
} from '../../../src/pregel/index.ts';

const State = z.object({
  log: reduced(z.array(z.string()), { reduce: (a, b) => [...a, ...b], initial: () => [] }),
});

async function all(items: AsyncIterable<unknown>): Promise<unknown[]> {
  const list: unknown[] = [];
  for await (const item of items) list.push(item);
  return list;
}

const inner = new StateGraph(State)
  .addNode('work', (_state, context) => {
    context.write({ progress: 1 });
    return { log: ['work'] };
  })
  .addEdge(START, 'work')
  .compile({ name: 'inner' });
const graph = new StateGraph(State)
  .addNode('first', () => ({ log: ['first'] }))
  .addNode('inner', inner)
  .addEdge(START, 'first')
  .addEdge('first', 'inner')
  .compile();

test('one mode gives payloads, several give [mode, payload]', async () => {
  expect(await all(graph.stream({ log: ['in'] }))).toEqual([
    { first: { log: ['first'] } },
    { inner: { log: ['in', 'first', 'work'] } },
  ]);
  expect(await all(graph.stream({ log: ['in'] }, { streamMode: ['values', 'custom'] }))).toEqual([
    ['values', { log: ['in'] }],
    ['values', { log: ['in', 'first'] }],
    ['custom', { progress: 1 }],
    ['values', { log: ['in', 'first', 'in', 'first', 'work'] }],
  ]);
});

test('every mode at once, with namespaces', async () => {
  const events = (await all(
    graph.stream({ log: ['in'] }, { streamMode: PREGEL_STREAM_MODES, subgraphs: true }),
  )) as [string[], string, Record<string, unknown>][];
  const shape = events.map(([namespace, mode, payload]) => {
    const where = namespace.map((part) => part.replace(/:.*/, '')).join('|');
    const what = mode === 'debug' ? `debug ${String(payload['type'])}` : mode;
    return `${where}/${what}`;
  });
  const step = (where: string): string[] => [
    `${where}/tasks`,
    `${where}/debug task`,
    `${where}/updates`,
    `${where}/tasks`,
    `${where}/debug task_result`,
    `${where}/values`,
    `${where}/checkpoints`,
    `${where}/debug checkpoint`,
  ];
  const begin = (where: string): string[] => [
    `${where}/checkpoints`,
    `${where}/debug checkpoint`,
    `${where}/values`,
    `${where}/checkpoints`,
    `${where}/debug checkpoint`,
  ];
  const [task, debug, ...rest] = step('');
  expect(shape).toEqual([
    ...begin(''),
    ...step(''),
    task,
    debug,
    ...begin('inner'),
    ...step('inner').slice(0, 2),
    'inner/custom',
    ...step('inner').slice(2),
    ...rest,
  ]);
  const started = events.find(([, mode]) => mode === 'tasks')?.[2];
  expect(started).toMatchObject({
    name: 'first',
    input: { log: ['in'] },
    triggers: ['branch:to:first'],
  });
});

test('messages: pieces as they come, whole ones from updates, none twice', async () => {
  const chat = new StateGraph(z.object({ messages: messages() }))
    .addNode('model', (_state, context) => {
      context.message({ id: 'm1', type: 'ai', content: 'Hel' });
      context.message({ id: 'm1', type: 'ai', content: 'lo' }, { model: 'x' });
      return {
        messages: [
          { id: 'm1', type: 'ai', content: 'Hello' },
          { id: 'm2', type: 'ai', content: 'whole' },
        ],
      };
    })
    .addEdge(START, 'model')
    .compile();
  const events = (await all(
    chat.stream(
      { messages: [{ id: 'h', type: 'human', content: 'hi' }] },
      { streamMode: 'messages' },
    ),
  )) as [{ content: string }, Record<string, unknown>][];
  expect(events.map(([message]) => message.content)).toEqual(['Hel', 'lo', 'whole']);
  expect(events[1]?.[1]).toMatchObject({ langgraph_node: 'model', langgraph_step: 1, model: 'x' });
});

test('leaving the loop early cancels the run', async () => {
  let steps = 0;
  const loop = Channel.subscribeTo<number>('n')
    .pipe((n) => {
      steps += 1;
      return n + 1;
    })
    .pipe(Channel.writeTo('n'));
  const app = new Pregel({
    nodes: { loop },
    channels: { n: new EphemeralValue<number>() },
    inputChannels: ['n'],
    outputChannels: ['n'],
  });
  const limit = 100_000;
  for await (const item of app.stream({ n: 0 }, { recursionLimit: limit })) {
    expect(item).toEqual({ loop: { n: 1 } });
    break;
  }
  // The run waits for its consumer after a bounded number of events.
  expect(steps).toBeLessThan(2_000);
});

test('an error comes after the events before it', async () => {
  const failing = new StateGraph(State)
    .addNode('a', () => ({ log: ['a'] }))
    .addNode('b', () => {
      throw new Error('broken');
    })
    .addEdge(START, 'a')
    .addEdge('a', 'b')
    .compile();
  const seen: unknown[] = [];
  await expect(
    (async () => {
      for await (const item of failing.stream({})) seen.push(item);
    })(),
  ).rejects.toThrow('broken');
  expect(seen).toEqual([{ a: { log: ['a'] } }]);
});
