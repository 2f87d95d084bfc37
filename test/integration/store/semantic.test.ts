/**
 * Search by meaning. What needs pgvector is skipped where the test server lacks it: give one that has it
 * with TEST_POSTGRES_URL.
 */
import { LangGraphStore } from '../../../src/graphs/langgraph/store.ts';
import { createProjectStore } from '../../../src/graphs/project-store.ts';
import { ItemStore } from '../../../src/store/items.ts';
import { SemanticIndex, type Embedder } from '../../../src/store/semantic.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';

const WORDS = ['cat', 'dog', 'soup'];
const vectorOf = (text: string): number[] => [
  ...WORDS.map((word) => text.split(word).length - 1),
  0.001,
];
const embedder: Embedder = {
  documents: (texts) => Promise.resolve(texts.map(vectorOf)),
  query: (text) => Promise.resolve(vectorOf(text)),
};
const dims = WORDS.length + 1;

const probe = await createTestDatabase();
const { rowCount } = await probe.pool.query(
  `SELECT 1 FROM pg_available_extensions WHERE name = 'vector'`,
);
await probe.drop();
const hasVector = rowCount === 1;

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const storeOf = (options: {
  fields?: string[];
  dims?: number;
  load?: () => Promise<Embedder>;
}): ItemStore =>
  new ItemStore(database.pool, {
    semantic: new SemanticIndex(database.pool, {
      dims,
      fields: ['$'],
      load: () => Promise.resolve(embedder),
      ...options,
    }),
  });

test('without an index in langgraph.json a query says so, in graphs too', async () => {
  const store = createProjectStore(database.pool, undefined);
  await expect(new LangGraphStore(store).search(['a'], { query: 'cat' })).rejects.toMatchObject({
    code: 'semantic_search_unavailable',
    message: expect.stringContaining('no store.index') as string,
  });
});

(hasVector ? test.skip : test)(
  'without the extension a query says so, and puts go on',
  async () => {
    const store = storeOf({});
    await store.put([{ namespace: ['a'], key: 'k', value: { n: 1 } }]);
    await expect(store.search({ namespacePrefix: ['a'], query: 'cat' })).rejects.toMatchObject({
      code: 'semantic_search_unavailable',
      message: expect.stringContaining('pgvector') as string,
    });
    expect(await store.search({ namespacePrefix: ['a'] })).toHaveLength(1);
  },
);

(hasVector ? describe : describe.skip)('with pgvector', () => {
  beforeAll(async () => {
    await storeOf({}).missingForQueries();
  });
  beforeEach(() => database.pool.query('TRUNCATE store_items CASCADE'));

  const keys = async (store: ItemStore, query: string, more: object = {}): Promise<string[]> =>
    (await store.search({ namespacePrefix: ['a'], query, ...more })).map(({ key }) => key);

  test('the nearest come first, with their scores, under the prefix and through the filter', async () => {
    const store = storeOf({});
    await store.put([
      { namespace: ['a'], key: 'cats', value: { text: 'cat cat', n: 1 } },
      { namespace: ['a', 'b'], key: 'both', value: { text: 'cat dog', n: 2 } },
      { namespace: ['a'], key: 'soup', value: { text: 'soup', n: 3 } },
      { namespace: ['z'], key: 'elsewhere', value: { text: 'cat' } },
    ]);
    const found = await store.search({ namespacePrefix: ['a'], query: 'cat' });
    expect(found.map(({ key }) => key)).toEqual(['cats', 'both', 'soup']);
    const scores = found.map(({ score }) => score ?? 0);
    expect(scores[0]).toBeCloseTo(1, 2);
    expect(scores[1]).toBeCloseTo(Math.SQRT1_2, 2);
    expect(scores[2]).toBeCloseTo(0, 2);
    expect(await keys(store, 'cat', { filter: { n: { $gt: 1 } } })).toEqual(['both', 'soup']);
    expect(await keys(store, 'cat', { limit: 1, offset: 1 })).toEqual(['both']);
    expect(await new LangGraphStore(store).search(['a'], { query: 'dog', limit: 1 })).toMatchObject(
      [{ key: 'both', score: expect.any(Number) as number }],
    );
  });

  test('an overwrite is found by its new text only, a deleted item not at all', async () => {
    const store = storeOf({});
    await store.put([{ namespace: ['a'], key: 'k', value: { text: 'cat' } }]);
    await store.put([{ namespace: ['a'], key: 'k', value: { text: 'soup' } }]);
    const [found] = await store.search({ namespacePrefix: [], query: 'cat' });
    expect(found?.score).toBeCloseTo(0, 2);
    await store.delete([{ namespace: ['a'], key: 'k' }]);
    expect(await keys(store, 'soup')).toEqual([]);
  });

  test('fields: those of the project, of the put, or none', async () => {
    const store = storeOf({ fields: ['text'] });
    await store.put([
      { namespace: ['a'], key: 'default', value: { text: 'cat', note: 'soup' } },
      {
        namespace: ['a'],
        key: 'own',
        value: { text: 'dog', tags: ['x', 'cat'] },
        index: ['tags[*]'],
      },
      { namespace: ['a'], key: 'none', value: { text: 'cat' }, index: false },
      { namespace: ['a'], key: 'absent', value: { other: 'cat' } },
    ]);
    expect((await keys(store, 'cat')).sort()).toEqual(['default', 'own']);
    const [best] = await store.search({ namespacePrefix: ['a'], query: 'soup', limit: 1 });
    expect(best?.score).toBeLessThan(0.1);
  });

  test('puts of one key at once leave the vectors of the one that won', async () => {
    const store = storeOf({});
    const value = (n: number): Record<string, unknown> => ({ text: n % 2 === 0 ? 'cat' : 'soup' });
    await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        store.put([
          { namespace: ['a'], key: n % 3 === 0 ? 'k' : 'l', value: value(n) },
          { namespace: ['a'], key: n % 3 === 0 ? 'l' : 'k', value: value(n) },
        ]),
      ),
    );
    for (const item of await store.search({ namespacePrefix: ['a'], query: 'cat' }))
      expect(item.score).toBeCloseTo(item.value['text'] === 'cat' ? 1 : 0, 2);
  });

  test('vectors of another width than the table has are named', async () => {
    await expect(keys(storeOf({ dims: 7 }), 'cat')).rejects.toMatchObject({
      message: expect.stringContaining(
        'holds vectors of 4 numbers, store.index.dims is 7',
      ) as string,
    });
  });

  test('an embeddings function that fails fails the put and stores nothing', async () => {
    const store = storeOf({
      load: () =>
        Promise.resolve({ ...embedder, documents: () => Promise.reject(new Error('quota')) }),
    });
    await expect(
      store.put([{ namespace: ['a'], key: 'k', value: { text: 'cat' } }]),
    ).rejects.toMatchObject({ code: 'embedding_failed', cause: { message: 'quota' } });
    expect(await store.get([{ namespace: ['a'], key: 'k' }])).toEqual([null]);
  });

  test('a project function that cannot be loaded is named by the query', async () => {
    const store = createProjectStore(database.pool, {
      ttl: {},
      index: {
        dims,
        fields: ['$'],
        embed: { file: '/nowhere.ts', exportName: 'e', origin: 'x: store.index.embed' },
      },
    });
    await expect(keys(store, 'cat')).rejects.toMatchObject({
      message: expect.stringContaining(
        'x: store.index.embed: there is no file /nowhere.ts',
      ) as string,
    });
  });
});
