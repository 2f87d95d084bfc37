/** State over time: interrupts, breakpoints, updates, time travel, durability, effects. */
import { z } from 'zod';
import {
  CheckpointerMissingError,
  Command,
  EffectUnknownError,
  EmptyInputError,
  effect,
  interrupt,
  MemoryCheckpointer,
  reduced,
  START,
  StateGraph,
  type Checkpointer,
  type Durability,
  type StateSnapshot,
} from '../../../src/pregel/index.ts';

const State = z.object({
  log: reduced(z.array(z.string()), { reduce: (a, b) => [...a, ...b], initial: () => [] }),
});
const thread = { configurable: { thread_id: 't' } };
const say = (text: string) => () => ({ log: [text] });
const line = () =>
  new StateGraph(State)
    .addNode('a', say('a'))
    .addNode('b', say('b'))
    .addNode('c', say('c'))
    .addEdge(START, 'a')
    .addEdge('a', 'b')
    .addEdge('b', 'c');

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
const asked = (state: StateSnapshot): unknown[] =>
  state.tasks.flatMap((task) => task.interrupts as { id: string; value: unknown }[]);

test('interrupt needs a checkpointer; state needs a thread', async () => {
  const graph = new StateGraph(State)
    .addNode('a', () => ({ log: [interrupt<string>('?')] }))
    .addEdge(START, 'a')
    .compile();
  await expect(graph.invoke({})).rejects.toBeInstanceOf(CheckpointerMissingError);
  await expect(graph.invoke({}, { checkpointer: new MemoryCheckpointer() })).rejects.toBeInstanceOf(
    CheckpointerMissingError,
  );
});

test('questions one after the other, in one node', async () => {
  const graph = new StateGraph(State)
    .addNode('a', (_state, context) => {
      const first = context.interrupt<string>('first?');
      const second = context.interrupt<string>('second?');
      return { log: [first, second] };
    })
    .addEdge(START, 'a')
    .compile({ checkpointer: new MemoryCheckpointer() });
  expect(await graph.invoke({}, thread)).toMatchObject({ __interrupt__: [{ value: 'first?' }] });
  expect(await graph.invoke(new Command({ resume: 1 }), thread)).toMatchObject({
    __interrupt__: [{ value: 'second?' }],
  });
  expect(await graph.invoke(new Command({ resume: 2 }), thread)).toEqual({ log: [1, 2] });
});

test('parallel questions are answered by id; what is done does not run again', async () => {
  let quick = 0;
  const ask = (text: string) => () => ({ log: [interrupt<string>(text)] });
  const graph = new StateGraph(State)
    .addNode('p', ask('p?'))
    .addNode('q', ask('q?'))
    .addNode('quick', () => {
      quick += 1;
      return { log: ['quick'] };
    })
    .addEdge(START, 'p')
    .addEdge(START, 'q')
    .addEdge(START, 'quick')
    .compile({ checkpointer: new MemoryCheckpointer() });
  await graph.invoke({}, thread);
  const state = await graph.getState(thread);
  expect(state.next).toEqual(['p', 'q']);
  expect(state.values).toEqual({ log: ['quick'] });
  const [p, q] = asked(state) as [{ id: string }, { id: string }];
  await graph.invoke(new Command({ resume: { [q.id]: 'Q' } }), thread);
  expect(asked(await graph.getState(thread))).toEqual([p]);
  expect(await graph.invoke(new Command({ resume: { [p.id]: 'P' } }), thread)).toEqual({
    log: ['P', 'Q', 'quick'],
  });
  expect(quick).toBe(1);
});

test('an answer may come with an update, which is applied once', async () => {
  const graph = new StateGraph(State)
    .addNode('a', (state) => ({ log: [`${state.log.join()}/${interrupt<string>('?')}`] }))
    .addEdge(START, 'a')
    .compile({ checkpointer: new MemoryCheckpointer() });
  await graph.invoke({ log: ['in'] }, thread);
  expect(
    await graph.invoke(new Command({ resume: 'yes', update: { log: ['more'] } }), thread),
  ).toEqual({ log: ['in', 'more', 'in,more/yes'] });
});

test('breakpoints before and after, also inside a subgraph', async () => {
  const graph = line().compile({
    checkpointer: new MemoryCheckpointer(),
    interruptBefore: ['b'],
    interruptAfter: ['b'],
  });
  expect(await graph.invoke({}, thread)).toEqual({ log: ['a'], __interrupt__: [] });
  expect((await graph.getState(thread)).next).toEqual(['b']);
  expect(await graph.invoke(null, thread)).toEqual({ log: ['a', 'b'], __interrupt__: [] });
  expect(await graph.invoke(null, thread)).toEqual({ log: ['a', 'b', 'c'] });

  const outer = new StateGraph(State)
    .addNode('inner', line().compile({ interruptBefore: ['c'] }))
    .addEdge(START, 'inner')
    .compile({ checkpointer: new MemoryCheckpointer() });
  expect(await outer.invoke({ log: [] }, thread)).toEqual({ log: [], __interrupt__: [] });
  expect((await outer.getState(thread)).next).toEqual(['inner']);
  expect(await outer.invoke(null, thread)).toEqual({ log: ['a', 'b', 'c'] });
});

test('going on from nothing is an error, from the end it is nothing', async () => {
  const graph = line().compile({ checkpointer: new MemoryCheckpointer() });
  await expect(graph.invoke(null, thread)).rejects.toBeInstanceOf(EmptyInputError);
  await graph.invoke({}, thread);
  expect(await graph.invoke(null, thread)).toEqual({ log: ['a', 'b', 'c'] });
  await expect(graph.invoke(null, { ...thread, idleIsError: true })).rejects.toBeInstanceOf(
    EmptyInputError,
  );
});

test('time travel: a fork from every checkpoint, and the old branch is still there', async () => {
  const graph = line().compile({ checkpointer: new MemoryCheckpointer() });
  await graph.invoke({ log: ['in'] }, thread);
  const history = await all(graph.getStateHistory(thread));
  expect(history.map(({ next }) => next)).toEqual([[], ['c'], ['b'], ['a'], ['__start__']]);
  for (const from of history.slice(1)) {
    expect(await graph.invoke(null, { configurable: { ...from.config.configurable } })).toEqual({
      log: ['in', 'a', 'b', 'c'],
    });
  }
  expect((await graph.getState(history[2]?.config as typeof thread)).values).toEqual({
    log: ['in', 'a'],
  });
  const sources = (await all(graph.getStateHistory(thread))).map(
    ({ metadata }) => metadata?.source,
  );
  expect(sources.filter((source) => source === 'fork')).toHaveLength(4);
});

test('updating the state as a node, as the last node, and as input', async () => {
  const graph = line().compile({ checkpointer: new MemoryCheckpointer(), interruptBefore: ['c'] });
  await graph.invoke({}, thread);
  await graph.updateState(thread, { log: ['by hand'] });
  const state = await graph.getState(thread);
  expect([state.values, state.next, state.metadata?.source]).toEqual([
    { log: ['a', 'b', 'by hand'] },
    ['c'],
    'update',
  ]);
  await graph.updateState(thread, { log: ['again'] }, 'a');
  expect((await graph.getState(thread)).next).toEqual(['b']);
  await graph.updateState(thread, null, '__end__');
  expect((await graph.getState(thread)).next).toEqual([]);
  await graph.updateState(thread, { log: ['new'] }, '__input__');
  expect((await graph.getState(thread)).next).toEqual(['__start__']);
  await expect(graph.updateState(thread, {}, 'nobody')).rejects.toThrow('"nobody" is no actor');
  await expect(graph.updateState(thread, { log: 7 })).rejects.toMatchObject({
    code: 'input_invalid',
  });
});

test('new input drops what was pending; goto starts a node', async () => {
  const graph = line().compile({ checkpointer: new MemoryCheckpointer(), interruptBefore: ['b'] });
  await graph.invoke({}, thread);
  await graph.invoke({ log: ['new'] }, thread);
  expect((await graph.getState(thread)).values).toEqual({ log: ['a', 'new', 'a'] });
  expect(
    await graph.invoke(new Command({ goto: 'c', update: { log: ['!'] } }), {
      ...thread,
      interruptBefore: [],
    }),
  ).toMatchObject({ log: ['a', 'new', 'a', '!', 'b', 'c', 'c'] });
});

test.each<[Durability, number]>([
  ['sync', 5],
  ['async', 5],
  ['exit', 1],
])('durability %s stores %i checkpoints of a run of four steps', async (durability, count) => {
  const graph = line().compile({ checkpointer: new MemoryCheckpointer() });
  await graph.invoke({}, { ...thread, durability });
  expect(await all(graph.getStateHistory(thread))).toHaveLength(count);
  expect((await graph.getState(thread)).values).toEqual({ log: ['a', 'b', 'c'] });
});

test('a store that fails ends the run with its error', async () => {
  const store = new MemoryCheckpointer();
  const failing: Checkpointer = {
    getTuple: (config) => store.getTuple(config),
    list: (config, options) => store.list(config, options),
    put: () => Promise.reject(new Error('disk full')),
    putWrites: (config, writes, task) => store.putWrites(config, writes, task),
  };
  for (const durability of ['sync', 'async', 'exit'] as const) {
    const graph = line().compile({ checkpointer: failing });
    await expect(graph.invoke({}, { ...thread, durability })).rejects.toThrow('disk full');
  }
});

describe('effects', () => {
  const build = (checkpointer: Checkpointer, body: () => Promise<string>) =>
    new StateGraph(State)
      .addNode('a', async () => ({ log: [await body()] }))
      .addEdge(START, 'a')
      .compile({ checkpointer });

  test.each<Durability>(['sync', 'async', 'exit'])(
    'the result of an effect is kept for the next attempt (%s)',
    async (durability) => {
      let sent = 0;
      let fails = true;
      const graph = build(new MemoryCheckpointer(), async () => {
        const id = await effect('mail', () => (sent += 1));
        if (fails) throw new Error('after the mail');
        return `mail ${id}`;
      });
      const run = { configurable: { thread_id: 't', run_id: 'r' }, durability };
      await expect(graph.invoke({}, run)).rejects.toThrow('after the mail');
      fails = false;
      expect(await graph.invoke({}, run)).toEqual({ log: ['mail 1'] });
      expect(sent).toBe(1);
    },
  );

  test('an effect in a subgraph is kept, even when only the end of the run is stored', async () => {
    let sent = 0;
    let fails = true;
    const inner = new StateGraph(State)
      .addNode('mail', async () => {
        const id = await effect('mail', () => (sent += 1));
        if (fails) throw new Error('after the mail');
        return { log: [`mail ${id}`] };
      })
      .addEdge(START, 'mail')
      .compile();
    const graph = new StateGraph(State)
      .addNode('inner', async () => {
        // Nothing is stored when a process dies: no end of the run, no failure.
        const died = await inner.invoke({ log: [] }).catch(() => undefined);
        return died === undefined ? new Promise<never>(() => undefined) : { log: died.log };
      })
      .addEdge(START, 'inner')
      .compile({ checkpointer: new MemoryCheckpointer() });
    const run = { configurable: { thread_id: 't', run_id: 'r' }, durability: 'exit' as const };
    void graph.invoke({}, run);
    for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
    fails = false;
    expect(await graph.invoke({}, run)).toEqual({ log: ['mail 1'] });
    expect(sent).toBe(1);
  });

  test('an effect that was cut off is reported, or repeated when it says it may be', async () => {
    const store = new MemoryCheckpointer();
    const cut = new AbortController();
    const dying = build(store, () =>
      effect('mail', () => {
        cut.abort(new Error('killed'));
        return new Promise<string>(() => undefined);
      }),
    );
    await expect(dying.invoke({}, { ...thread, signal: cut.signal })).rejects.toThrow('killed');
    const unsure: unknown = await build(store, () => effect('mail', () => 'again'))
      .invoke(null, thread)
      .catch((error: unknown) => error);
    expect(unsure).toBeInstanceOf(EffectUnknownError);
    expect(unsure).toMatchObject({ key: 'mail', code: 'effect_unknown' });
    const repeating = build(store, () => effect('mail', () => 'again', { onUnknown: 'repeat' }));
    expect(await repeating.invoke(null, thread)).toEqual({ log: ['again'] });
  });

  test('an effect that threw is tried again, by the retry policy too', async () => {
    let tries = 0;
    const graph = new StateGraph(State)
      .addNode(
        'a',
        async (_state, context) => {
          const id = await context.effect('mail', () => {
            tries += 1;
            if (tries === 1) throw new Error('busy');
            return tries;
          });
          return { log: [`mail ${id}`] };
        },
        { retry: { initialIntervalMs: 0 } },
      )
      .addEdge(START, 'a')
      .compile({ checkpointer: new MemoryCheckpointer() });
    expect(await graph.invoke({}, thread)).toEqual({ log: ['mail 2'] });
  });
});
