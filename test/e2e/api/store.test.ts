/** The store (HTTP.md, 3.5), through the official SDK where it has the call, and shared with graphs. */
import { call, client, mark } from '../../support/api.ts';

test('put, get, overwrite and delete', async () => {
  const space = mark();
  await client.store.putItem([space, 'b'], 'k', { n: 1 });
  const first = await client.store.getItem([space, 'b'], 'k');
  expect(first).toEqual({
    namespace: [space, 'b'],
    key: 'k',
    value: { n: 1 },
    created_at: expect.any(String) as string,
    updated_at: expect.any(String) as string,
    createdAt: expect.any(String) as string,
    updatedAt: expect.any(String) as string,
  });
  const put = await call('PUT', '/store/items', {
    namespace: [space, 'b'],
    key: 'k',
    value: { n: 2 },
  });
  expect([put.status, put.text]).toEqual([204, '']);
  const second = await call('GET', `/store/items?namespace=${space}.b&key=k`);
  const item = second.json<{ value: object; updated_at: string; created_at: string }>();
  expect(item.value).toEqual({ n: 2 });
  expect(item.created_at).toBe(first?.createdAt);
  expect(Date.parse(item.updated_at)).toBeGreaterThan(Date.parse(first?.updatedAt ?? ''));
  await client.store.deleteItem([space, 'b'], 'k');
  const missing = await call('GET', `/store/items?namespace=${space}.b&key=k`);
  expect([missing.status, missing.text]).toEqual([200, 'null']);
  const again = await call('DELETE', '/store/items', { namespace: [space, 'b'], key: 'k' });
  expect(again.status).toBe(204);
});

test('search: by prefix and filter, in pages; namespaces by prefix, suffix and depth', async () => {
  const space = mark();
  for (const [label, n] of [
    ['a', 1],
    ['b', 2],
    ['b', 3],
  ] as const)
    await client.store.putItem([space, label, 'x'], String(n), { n, odd: n % 2 === 1 });
  const keys = async (query: object = {}, prefix = [space]): Promise<string[]> =>
    (await client.store.searchItems(prefix, query)).items.map(({ key }) => key).sort();
  expect(await keys()).toEqual(['1', '2', '3']);
  expect(await keys({}, [space, 'b'])).toEqual(['2', '3']);
  expect(await keys({ filter: { odd: true } })).toEqual(['1', '3']);
  expect(await keys({ filter: { n: { $gte: 2 } } })).toEqual(['2', '3']);
  expect(await keys({ limit: 2 })).toHaveLength(2);
  expect(await keys({ offset: 2 })).toHaveLength(1);
  const listed = async (query: object): Promise<string[]> =>
    (await client.store.listNamespaces({ prefix: [space], ...query })).namespaces
      .map((labels) => labels.slice(1).join('.'))
      .sort();
  expect(await listed({})).toEqual(['a.x', 'b.x']);
  expect(await listed({ suffix: ['a', 'x'] })).toEqual(['a.x']);
  expect(await listed({ maxDepth: 2 })).toEqual(['a', 'b']);
  expect(await listed({ limit: 1, offset: 1 })).toHaveLength(1);
});

test('a namespace that is none, a value that is none', async () => {
  const put = (body: object): ReturnType<typeof call> =>
    call('PUT', '/store/items', { namespace: ['a'], key: 'k', value: {}, ...body });
  for (const namespace of [[], undefined]) {
    const answer = await put({ namespace });
    expect([answer.status, answer.text]).toEqual([400, 'Namespace is required']);
  }
  expect((await put({ namespace: [''] })).status).toBe(422);
  expect((await put({ namespace: ['a.b'] })).status).toBe(422);
  expect((await put({ value: 1 })).status).toBe(400);
  expect((await put({ key: undefined })).status).toBe(400);
  expect((await call('DELETE', '/store/items', { namespace: [], key: 'k' })).text).toBe(
    'Namespace is required',
  );
});

test('time to live and index are taken, and what cannot be searched for is said', async () => {
  const space = mark();
  await client.store.putItem([space], 'k', { n: 1 }, { ttl: 10, index: false });
  const read = await client.store.getItem([space], 'k', { refreshTtl: false });
  expect(read?.value).toEqual({ n: 1 });
  const answer = await call('POST', '/store/items/search', {
    namespace_prefix: [space],
    query: 'cats',
  });
  expect(answer.status).toBe(422);
  expect(answer.text).toContain('store.index');
});

test('graphs and clients share it; messages in it are flat', async () => {
  const space = mark();
  await client.store.putItem([space, 'in'], 'k', { of: 'client' });
  const values = await client.runs.wait(null, 'memory', { input: { space } });
  expect(values).toMatchObject({ found: { of: 'client' } });
  const written = await client.store.getItem([space, 'out'], 'k');
  expect(written?.value).toMatchObject({ by: 'graph', said: { type: 'human', content: 'hi' } });
});
