/** The store over HTTP and with the official SDK; graphs see the same items. */
import { HumanMessage } from '@langchain/core/messages';
import { Annotation, START, StateGraph, type LangGraphRunnableConfig } from '@langchain/langgraph';
import { Client } from '@langchain/langgraph-sdk';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

const State = Annotation.Root({ found: Annotation<unknown>() });
const memory = new StateGraph(State)
  .addNode('remember', async (_state, { store }: LangGraphRunnableConfig) => {
    await store?.put(['shared'], 'of-graph', { said: [new HumanMessage('hi')] });
    return { found: (await store?.get(['shared'], 'of-client'))?.value };
  })
  .addEdge(START, 'remember');

let app: TestServer;
let client: Client;
beforeAll(async () => {
  app = await startTestServer({
    redis: false,
    graph: memory,
    environment: { SWEEPER_INTERVAL: '0.05' },
  });
  client = new Client({ apiUrl: app.url, apiKey: null });
});
beforeEach(() => app.core.pool.query('TRUNCATE store_items'));
afterAll(() => app.stop());

const expiryOf = async (key: string): Promise<Date | null | undefined> => {
  const { rows } = await app.core.pool.query<{ expires_at: Date | null }>(
    'SELECT expires_at FROM store_items WHERE key = $1',
    [key],
  );
  return rows[0]?.expires_at;
};
const letExpire = (key: string): Promise<unknown> =>
  app.core.pool.query(`UPDATE store_items SET expires_at = now() - interval '1 s' WHERE key = $1`, [
    key,
  ]);

test('an item is put, got, found, listed and deleted with the SDK', async () => {
  await client.store.putItem(['users', 'ada'], 'profile', { name: 'Ada', age: 36 });
  const item = await client.store.getItem(['users', 'ada'], 'profile');
  expect(item).toMatchObject({
    namespace: ['users', 'ada'],
    key: 'profile',
    value: { name: 'Ada', age: 36 },
    created_at: expect.stringMatching(/Z$/) as string,
  });
  expect((await client.store.searchItems(['users'])).items).toHaveLength(1);
  expect((await client.store.listNamespaces({ maxDepth: 1 })).namespaces).toEqual([['users']]);
  await client.store.deleteItem(['users', 'ada'], 'profile');
  expect(await client.store.getItem(['users', 'ada'], 'profile')).toBeNull();
});

test('a missing item is 200 with null, a write is 204', async () => {
  const put = await app.call('PUT', '/store/items', { namespace: ['a'], key: 'k', value: {} });
  expect([put.status, put.text]).toEqual([204, '']);
  const missing = await app.call('GET', '/store/items?namespace=a.b&key=k');
  expect([missing.status, missing.text]).toEqual([200, 'null']);
  const gone = await app.call('DELETE', '/store/items', { namespace: ['a'], key: 'k' });
  expect(gone.status).toBe(204);
});

test('every overwrite is later than the one before', async () => {
  const times: number[] = [];
  for (let n = 0; n < 10; n += 1) {
    await client.store.putItem(['a'], 'k', { n });
    times.push(Date.parse(String((await client.store.getItem(['a'], 'k'))?.updatedAt)));
  }
  expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
});

test('filters compare, and an unknown operator is refused', async () => {
  for (const n of [1, 2, 3]) await client.store.putItem(['f'], String(n), { n });
  const found = async (filter: Record<string, unknown>): Promise<string[]> =>
    (await client.store.searchItems(['f'], { filter })).items.map(({ key }) => key).sort();
  expect(await found({ n: 2 })).toEqual(['2']);
  expect(await found({ n: { $ne: 2 } })).toEqual(['1', '3']);
  expect(await found({ n: { $gt: 1, $lte: 3 } })).toEqual(['2', '3']);
  const page = await client.store.searchItems(['f'], { limit: 1, offset: 1 });
  expect(page.items.map(({ key }) => key)).toEqual(['2']);
  await expect(found({ n: { $near: 1 } })).rejects.toThrow('HTTP 400: filter.n: unknown operator');
});

test.each([
  ['PUT', '/store/items', { namespace: [], key: 'k', value: {} }, 400, 'Namespace is required'],
  ['PUT', '/store/items', { key: 'k', value: {} }, 400, 'Namespace is required'],
  ['GET', '/store/items?key=k', undefined, 400, 'Namespace is required'],
  ['GET', '/store/items?namespace=&key=k', undefined, 400, 'Namespace is required'],
  ['DELETE', '/store/items', { namespace: [], key: 'k' }, 400, 'Namespace is required'],
  ['PUT', '/store/items', { namespace: ['a', ''], key: 'k', value: {} }, 422, 'label ""'],
  ['PUT', '/store/items', { namespace: ['a.b'], key: 'k', value: {} }, 422, 'label "a.b"'],
  ['GET', '/store/items?namespace=a..b&key=k', undefined, 422, 'label ""'],
  ['POST', '/store/items/search', { namespace_prefix: ['a.b'] }, 422, 'label "a.b"'],
  ['POST', '/store/namespaces', { suffix: [''] }, 422, 'label ""'],
  ['POST', '/store/items/search', {}, 400, 'namespace_prefix'],
  ['PUT', '/store/items', { namespace: ['a'], key: 'k', value: [] }, 400, 'ZodError'],
  ['PUT', '/store/items', { namespace: ['a'], key: 'k', value: {}, ttll: 1 }, 400, 'ttll'],
  ['PUT', '/store/items', { namespace: ['a'], key: '\0', value: {} }, 400, 'ZodError'],
])('%s %s %j is refused with %i', async (method, path, body, status, text) => {
  const answer = await app.call(method, path, body);
  expect(answer.status).toBe(status);
  expect(answer.text).toContain(text);
});

test('a body in a format that nobody parses is refused, and not taken for an empty one', async () => {
  const answer = await app.call('POST', '/threads', '{"metadata":{"n":1}}', {
    'content-type': 'application/x-www-form-urlencoded',
  });
  expect([answer.status, answer.text]).toEqual([
    415,
    'Unsupported content-type "application/x-www-form-urlencoded": expected application/json',
  ]);
});

test('clients and graphs share the store, and messages in it are flat', async () => {
  await client.store.putItem(['shared'], 'of-client', { n: 1 });
  const { thread_id: threadId } = await client.threads.create();
  const values = await client.runs.wait(threadId, 'test', { input: { found: null } });
  expect(values).toEqual({ found: { n: 1 } });
  const item = await client.store.getItem(['shared'], 'of-graph');
  expect(item?.value).toMatchObject({ said: [{ type: 'human', content: 'hi' }] });
});

test('an expired item is gone for everyone at once, and then from the table', async () => {
  await client.store.putItem(['t'], 'mortal', { n: 1 }, { ttl: 10 });
  await client.store.putItem(['t', 'u'], 'stays', { n: 1 }, { ttl: null });
  const { createdAt } = (await client.store.getItem(['t'], 'mortal')) ?? {};
  await letExpire('mortal');
  expect(await client.store.getItem(['t'], 'mortal')).toBeNull();
  expect((await client.store.searchItems(['t'])).items).toMatchObject([{ key: 'stays' }]);
  expect((await client.store.listNamespaces()).namespaces).toEqual([['t', 'u']]);
  await waitUntil(async () => (await expiryOf('mortal')) === undefined, { timeoutMs: 20_000 });
  expect(await expiryOf('stays')).toBeNull();
  await client.store.putItem(['t'], 'mortal', { n: 2 });
  const anew = await client.store.getItem(['t'], 'mortal');
  expect(anew?.createdAt).not.toBe(createdAt);
});

test('reading starts the time anew, unless the reader asks not to', async () => {
  await client.store.putItem(['t'], 'k', {}, { ttl: 10 });
  const first = await expiryOf('k');
  await client.store.getItem(['t'], 'k', { refreshTtl: false });
  await client.store.searchItems(['t'], { refreshTtl: false });
  expect(await expiryOf('k')).toEqual(first);
  await client.store.getItem(['t'], 'k');
  const second = await expiryOf('k');
  expect(second?.getTime()).toBeGreaterThan(first?.getTime() ?? 0);
  await client.store.searchItems(['t'], { refreshTtl: true });
  expect((await expiryOf('k'))?.getTime()).toBeGreaterThan(second?.getTime() ?? 0);
});

test('a query that nothing can answer is refused with what is missing', async () => {
  await expect(client.store.searchItems(['a'], { query: 'cats' })).rejects.toThrow(
    'HTTP 422: Search by "query" is not available: langgraph.json has no store.index',
  );
  await expect(client.store.putItem(['a'], 'k', {}, { index: ['text'] })).rejects.toThrow(
    'HTTP 422: Search by "query" is not available',
  );
  await client.store.putItem(['a'], 'k', {}, { index: false });
});
