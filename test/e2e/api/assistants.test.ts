/** Assistants (HTTP.md, 3.1), through the official SDK where it has the call. */
import { randomUUID } from 'node:crypto';
import { call, client, mark, newThread } from '../../support/api.ts';
import { waitUntil } from '../../support/wait-until.ts';

const NOT_FOUND = 'HTTP 404: Assistant not found';

test('the default assistant of each graph: its id follows from the graph, its configuration from the environment', async () => {
  expect(await client.assistants.get('agent')).toMatchObject({
    assistant_id: 'fe096781-5601-53d2-b2f6-0d3403f7e9ca',
    graph_id: 'agent',
    name: 'agent',
    version: 1,
    config: {},
    context: {},
    metadata: { created_by: 'system' },
  });
  expect(await client.assistants.get('seen')).toMatchObject({
    config: { configurable: { from: 'LANGGRAPH_CONFIG' } },
    context: { lang: 'de' },
  });
});

test('create: what is left out, an id of its own, a graph that is not checked', async () => {
  const plain = await client.assistants.create({ graphId: 'no-such-graph' });
  expect(plain).toEqual({
    assistant_id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/) as string,
    graph_id: 'no-such-graph',
    name: 'Untitled',
    description: null,
    version: 1,
    config: {},
    context: {},
    metadata: {},
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
    updated_at: expect.any(String) as string,
  });
  const assistantId = randomUUID();
  const given = {
    graphId: 'agent',
    assistantId,
    name: 'Mine',
    description: 'of mine',
    config: { configurable: { a: 1 }, tags: ['t'] },
    context: { b: 2 },
    metadata: { c: 3 },
  };
  expect(await client.assistants.create(given)).toMatchObject({
    assistant_id: assistantId,
    name: 'Mine',
    description: 'of mine',
    config: given.config,
    context: given.context,
    metadata: given.metadata,
  });
  await expect(client.assistants.create({ ...given, name: 'Other' })).rejects.toThrow(
    'HTTP 409: Assistant already exists',
  );
  const kept = await client.assistants.create({ ...given, name: 'Other', ifExists: 'do_nothing' });
  expect(kept.name).toBe('Mine');
});

test('search and count: by metadata, graph and part of the name, sorted, in pages, selected fields', async () => {
  const series = mark();
  for (const [name, graphId] of [
    ['Beta', 'agent'],
    ['alpha', 'agent'],
    ['Gamma', 'steps'],
  ] as const)
    await client.assistants.create({ graphId, name: `${name} ${series}`, metadata: { series } });
  const metadata = { series };
  const names = async (query: object): Promise<string[]> =>
    (await client.assistants.search({ metadata, ...query })).map(({ name }) => name.slice(0, 5));
  expect(await names({})).toEqual(['Gamma', 'alpha', 'Beta ']);
  expect(await names({ graphId: 'agent' })).toEqual(['alpha', 'Beta ']);
  expect(await names({ name: 'ALPHA' })).toEqual(['alpha']);
  expect(await names({ sortBy: 'name', sortOrder: 'asc' })).toHaveLength(3);
  expect(await names({ sortBy: 'graph_id', sortOrder: 'desc', limit: 1 })).toEqual(['Gamma']);
  expect(await names({ sortBy: 'created_at', sortOrder: 'asc' })).toEqual([
    'Beta ',
    'alpha',
    'Gamma',
  ]);
  const chosen = await client.assistants.search({ metadata, select: ['name', 'graph_id'] });
  expect(Object.keys(chosen[0] ?? {})).toEqual(['name', 'graph_id']);

  const page = await call('POST', '/assistants/search', { metadata, limit: 2 });
  expect([page.headers.get('x-pagination-total'), page.headers.get('x-pagination-next')]).toEqual([
    '3',
    '2',
  ]);
  const last = await call('POST', '/assistants/search', { metadata, limit: 2, offset: 2 });
  expect([last.headers.get('x-pagination-total'), last.headers.get('x-pagination-next')]).toEqual([
    '3',
    null,
  ]);
  expect(last.json<unknown[]>()).toHaveLength(1);

  expect(await client.assistants.count({ metadata })).toBe(3);
  expect((await call('POST', '/assistants/count', { metadata, graph_id: 'agent' })).text).toBe('2');
  expect(await client.assistants.count({ metadata, name: 'gam' })).toBe(1);
  for (const limit of [0, 1_001])
    expect((await call('POST', '/assistants/search', { limit })).status).toBe(400);
});

test('patch: metadata is merged, the rest replaced, and each is a version, also of nothing', async () => {
  const made = await client.assistants.create({
    graphId: 'agent',
    config: { configurable: { a: 1 } },
    metadata: { keep: 1, change: 1 },
  });
  const id = made.assistant_id;
  const patched = await client.assistants.update(id, {
    graphId: 'steps',
    name: 'New',
    description: 'words',
    config: { configurable: { b: 2 } },
    context: { c: 3 },
    metadata: { change: 2 },
  });
  expect(patched).toMatchObject({
    graph_id: 'steps',
    name: 'New',
    description: 'words',
    config: { configurable: { b: 2 } },
    context: { c: 3 },
    metadata: { keep: 1, change: 2 },
    version: 2,
  });
  expect(patched.config).toEqual({ configurable: { b: 2 } });
  expect((await client.assistants.update(id, {})).version).toBe(3);
  await client.assistants.setLatest(id, 1);
  expect((await client.assistants.update(id, {})).version).toBe(4);
  await expect(client.assistants.update(randomUUID(), {})).rejects.toThrow(NOT_FOUND);
});

test('versions: newest first, in pages, by metadata; an earlier one is put in use again', async () => {
  const { assistant_id: id } = await client.assistants.create({
    graphId: 'agent',
    name: 'one',
    metadata: { n: 1 },
    config: { tags: ['one'] },
  });
  await client.assistants.update(id, { name: 'two', metadata: { n: 2 }, config: {} });
  await client.assistants.update(id, { name: 'three', graphId: 'steps' });
  const versions = await client.assistants.getVersions(id);
  expect(versions.map(({ version, name }) => [version, name])).toEqual([
    [3, 'three'],
    [2, 'two'],
    [1, 'one'],
  ]);
  expect(versions[0]).not.toHaveProperty('updated_at');
  expect(Object.keys(versions[0] ?? {}).sort()).toEqual([
    'assistant_id',
    'config',
    'context',
    'created_at',
    'description',
    'graph_id',
    'metadata',
    'name',
    'version',
  ]);
  const page = await client.assistants.getVersions(id, { limit: 1, offset: 1 });
  expect(page.map(({ version }) => version)).toEqual([2]);
  const one = await client.assistants.getVersions(id, { metadata: { n: 1 } });
  expect(one.map(({ version }) => version)).toEqual([1]);
  await expect(client.assistants.getVersions(randomUUID())).rejects.toThrow('HTTP 404');

  const back = await client.assistants.setLatest(id, 1);
  expect(back).toMatchObject({
    version: 1,
    name: 'one',
    config: { tags: ['one'] },
    metadata: { n: 1 },
    // Not part of what comes back.
    graph_id: 'steps',
  });
  await expect(client.assistants.setLatest(id, 9)).rejects.toThrow(
    'HTTP 404: Assistant version not found',
  );
});

test('delete answers with the id; asked to, it takes the threads along', async () => {
  const { assistant_id: id } = await client.assistants.create({ graphId: 'agent' });
  const threadId = await newThread();
  await client.runs.wait(threadId, id, { input: { messages: [] } });
  const answer = await call('DELETE', `/assistants/${id}?delete_threads=true`);
  expect([answer.status, answer.json<unknown>()]).toEqual([200, [id]]);
  await expect(client.threads.get(threadId)).rejects.toThrow('HTTP 404');
  await expect(client.assistants.get(id)).rejects.toThrow(NOT_FOUND);
  await expect(client.assistants.getVersions(id)).rejects.toThrow('HTTP 404');
  await expect(client.assistants.delete(id)).rejects.toThrow(NOT_FOUND);

  const other = await client.assistants.create({ graphId: 'agent' });
  const kept = await newThread();
  await client.runs.wait(kept, other.assistant_id, { input: { messages: [] } });
  await client.assistants.delete(other.assistant_id);
  expect((await client.threads.get(kept)).thread_id).toBe(kept);
});

test('graph: nodes and edges, with subgraphs to the depth that is asked for', async () => {
  const ids = async (xray?: boolean | number): Promise<string[]> =>
    (await client.assistants.getGraph('outer', xray === undefined ? {} : { xray })).nodes.map(
      ({ id }) => String(id),
    );
  const graph = await client.assistants.getGraph('outer');
  expect(graph.nodes[0]).toMatchObject({ id: '__start__', type: 'schema' });
  expect(graph.nodes[1]).toMatchObject({ id: 'first', type: 'runnable' });
  expect(graph.edges).toContainEqual(
    expect.objectContaining({ source: 'first', target: 'middle' }),
  );
  expect(await ids()).toEqual(['__start__', 'first', 'middle', '__end__']);
  expect(await ids(1)).toContain('middle:deep');
  expect(await ids(true)).toContain('middle:deep:work');
  expect(await ids(false)).toEqual(await ids());
  await expect(client.assistants.getGraph(randomUUID())).rejects.toThrow(NOT_FOUND);
});

test('schemas: of zod as it is known, of annotations the names', async () => {
  const typed = await client.assistants.getSchemas('typed');
  expect(typed).toMatchObject({
    graph_id: 'typed',
    state_schema: {
      $schema: expect.stringContaining('json-schema.org') as string,
      properties: { name: { type: 'string' }, age: { type: 'number' } },
    },
    input_schema: { type: 'object' },
    output_schema: { type: 'object' },
  });
  expect(typed.config_schema).toEqual(typed.context_schema);
  const plain = await client.assistants.getSchemas('steps');
  expect(Object.keys(plain.state_schema?.properties ?? {})).toEqual(['log', 'item']);
  await expect(client.assistants.getSchemas(randomUUID())).rejects.toThrow(NOT_FOUND);
}, 120_000);

test('subgraphs: the direct ones, all of them, or one', async () => {
  const names = async (options: object): Promise<string[]> =>
    Object.keys(await client.assistants.getSubgraphs('outer', options));
  expect(await names({})).toEqual(['middle']);
  expect(await names({ recurse: true })).toEqual(['middle', 'middle|deep']);
  expect(await names({ namespace: 'middle' })).toEqual(['middle']);
  expect(await names({ namespace: 'middle|deep', recurse: true })).toContain('middle|deep');
  const { middle } = await client.assistants.getSubgraphs('outer');
  expect(Object.keys(middle ?? {}).sort()).toEqual(['config', 'input', 'output', 'state']);
  await expect(client.assistants.getSubgraphs(randomUUID())).rejects.toThrow(NOT_FOUND);
});

test('an assistant’s change is seen by the other server at once', async () => {
  const { assistant_id: id } = await client.assistants.create({ graphId: 'agent', name: '0' });
  for (const name of ['1', '2', '3', '4']) {
    await client.assistants.update(id, { name });
    expect((await client.assistants.get(id)).name).toBe(name);
  }
  await waitUntil(async () => (await client.assistants.count({ name: '4' })) > 0, {
    timeoutMs: 20_000,
  });
});
