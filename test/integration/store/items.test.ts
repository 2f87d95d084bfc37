/** The store, directly and as graphs see it. */
import { Annotation, START, StateGraph, type LangGraphRunnableConfig } from '@langchain/langgraph';
import { createGraphRegistry } from '../../../src/graphs/registry.ts';
import { LangGraphStore } from '../../../src/graphs/langgraph/store.ts';
import { ItemStore } from '../../../src/store/items.ts';
import {
  createDependencies,
  createExecution,
  createSink,
  createThread,
} from '../../support/graphs.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';
import { waitUntil } from '../../support/wait-until.ts';

let database: TestDatabase;
let items: ItemStore;
beforeAll(async () => {
  database = await createTestDatabase();
  items = new ItemStore(database.pool);
});
beforeEach(() => database.pool.query('TRUNCATE store_items'));
afterAll(() => database.drop());

const put = (path: string, value: Record<string, unknown>): Promise<void> => {
  const labels = path.split('.');
  return items.put([{ namespace: labels.slice(0, -1), key: labels.at(-1) ?? '', value }]);
};

test('what was put is got back as it was, in order, null for what is not there', async () => {
  const value = { z: 1, a: ['x\u0000', '\ud800', '😀'], nested: { n: null } };
  await items.put([{ namespace: ['a', 'b'], key: 'k', value }]);
  const [absent, item] = await items.get([
    { namespace: ['a'], key: 'k' },
    { namespace: ['a', 'b'], key: 'k' },
  ]);
  expect(absent).toBeNull();
  expect(item).toMatchObject({ namespace: ['a', 'b'], key: 'k' });
  expect(JSON.stringify(item?.value)).toBe(JSON.stringify(value));
  await items.delete([{ namespace: ['a', 'b'], key: 'k' }]);
  expect(await items.get([{ namespace: ['a', 'b'], key: 'k' }])).toEqual([null]);
});

test('every overwrite is later than the one before, and creation stays', async () => {
  const seen: number[] = [];
  let created: Date | undefined;
  for (let n = 0; n < 20; n += 1) {
    await put('a.k', { n });
    const [item] = await items.get([{ namespace: ['a'], key: 'k' }]);
    seen.push(item?.updatedAt.getTime() ?? 0);
    created ??= item?.createdAt;
    expect(item?.createdAt).toEqual(created);
  }
  expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
});

test('a search is by whole labels of the namespace', async () => {
  for (const path of ['a.k', 'a.b.k', 'a.b.c.k', 'ab.k', 'a-.k']) await put(path, {});
  const found = async (...namespacePrefix: string[]): Promise<string[]> =>
    (await items.search({ namespacePrefix })).map(({ namespace }) => namespace.join('.')).sort();
  expect(await found('a')).toEqual(['a', 'a.b', 'a.b.c']);
  expect(await found('a', 'b')).toEqual(['a.b', 'a.b.c']);
  expect(await found()).toHaveLength(5);
  expect(await found('none')).toEqual([]);
});

test.each<[Record<string, unknown>, number[]]>([
  [{ n: 2 }, [2]],
  [{ n: { $eq: 2 } }, [2]],
  [{ n: { $ne: 2 } }, [1, 3]],
  [{ n: { $gt: 1 } }, [2, 3]],
  [{ n: { $gte: 2, $lt: 3 } }, [2]],
  [{ n: { $lte: 1 } }, [1]],
  [{ n: { $in: [1, 3] } }, [1, 3]],
  [{ n: { $nin: [1, 3] } }, [2]],
  [{ tags: ['x', 'y'] }, [1]],
  [{ tags: ['x'] }, []],
  [{ n: '2' }, []],
  [{ n: { $gt: '1' } }, []],
  [{ odd: true, n: { $gt: 1 } }, [3]],
  [{ absent: 1 }, []],
  [{ 'odd\u0000key': 'v\u0000' }, [2]],
])('the filter %j finds %j', async (filter, expected) => {
  await put('a.1', { n: 1, odd: true, tags: ['x', 'y'] });
  await put('a.2', { n: 2, odd: false, 'odd\u0000key': 'v\u0000' });
  await put('a.3', { n: 3, odd: true });
  const found = await items.search({ namespacePrefix: ['a'], filter });
  expect(found.map(({ value }) => value['n']).sort()).toEqual(expected);
});

test('an unknown operator is named', async () => {
  await expect(
    items.search({ namespacePrefix: [], filter: { n: { $near: 1 } } }),
  ).rejects.toMatchObject({
    code: 'input_invalid',
    message: expect.stringContaining('filter.n: unknown operator $near') as string,
  });
});

test('a page of the last changed', async () => {
  for (const key of ['1', '2', '3', '1']) {
    await put(`a.${key}`, {});
    // Times are in milliseconds.
    const now = Date.now();
    await waitUntil(() => Date.now() > now, { timeoutMs: 1_000 });
  }
  const page = await items.search({ namespacePrefix: ['a'], limit: 2, offset: 1 });
  expect(page.map(({ key }) => key)).toEqual(['3', '2']);
});

test('namespaces are listed by prefix, suffix and depth', async () => {
  for (const path of ['u.1.notes.k', 'u.1.facts.k', 'u.2.notes.k', 'v.notes.k', 'v.notes.l'])
    await put(path, {});
  const list = async (search: object): Promise<string[]> =>
    (await items.listNamespaces(search)).map((labels) => labels.join('.'));
  expect(await list({})).toEqual(['u.1.facts', 'u.1.notes', 'u.2.notes', 'v.notes']);
  expect(await list({ prefix: ['u', '1'] })).toEqual(['u.1.facts', 'u.1.notes']);
  expect(await list({ suffix: ['notes'] })).toEqual(['u.1.notes', 'u.2.notes', 'v.notes']);
  expect(await list({ prefix: ['u', '*', 'notes'] })).toEqual(['u.1.notes', 'u.2.notes']);
  expect(await list({ suffix: ['2', '*'] })).toEqual(['u.2.notes']);
  expect(await list({ maxDepth: 1 })).toEqual(['u', 'v']);
  expect(await list({ limit: 1, offset: 1 })).toEqual(['u.1.notes']);
});

test('a batch reads before it writes, and the last put of a key counts', async () => {
  const store = new LangGraphStore(items);
  await store.put(['a'], 'k', { n: 0 });
  const [got, , , gone, found] = (await store.batch([
    { namespace: ['a'], key: 'k' },
    { namespace: ['a'], key: 'k', value: { n: 1 } },
    { namespace: ['a'], key: 'k', value: { n: 2 } },
    { namespace: ['a'], key: 'gone', value: null },
    { namespacePrefix: ['a'] },
  ])) as unknown[];
  expect(got).toMatchObject({ value: { n: 0 } });
  expect(gone).toBeUndefined();
  expect(found).toMatchObject([{ value: { n: 0 } }]);
  expect(await store.get(['a'], 'k')).toMatchObject({ value: { n: 2 } });
});

test('a graph has the store as config.store, and does not poll for it', async () => {
  const State = Annotation.Root({ found: Annotation<unknown>() });
  const registry = createGraphRegistry(createDependencies(database.pool), {
    graphs: {
      memory: new StateGraph(State)
        .addNode('remember', async (_state, { store }: LangGraphRunnableConfig) => {
          await Promise.all([store?.put(['m'], 'a', { n: 1 }), store?.put(['m'], 'b', { n: 2 })]);
          const one = await store?.get(['m'], 'a');
          const all = await store?.search(['m']);
          return { found: { one: one?.value, all: all?.length } };
        })
        .addEdge(START, 'remember'),
    },
  });
  const graph = await registry.get('memory');
  const threadId = await createThread(database.pool);
  // The library's wrapper would set one per millisecond of the run.
  const { setTimeout: original } = globalThis;
  const delays: unknown[] = [];
  globalThis.setTimeout = ((...args: Parameters<typeof original>) => {
    delays.push(args[1]);
    return original(...args);
  }) as typeof original;
  const result = await graph
    .execute(createExecution(threadId, createSink(), { input: { found: 0 } }))
    .finally(() => (globalThis.setTimeout = original));
  expect(result.output).toEqual({ found: { one: { n: 1 }, all: 2 } });
  expect(delays).not.toContain(0);
});
