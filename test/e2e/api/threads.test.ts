/** Threads (HTTP.md, 3.2), through the official SDK where it has the call. Their states are in states.test.ts. */
import { randomUUID } from 'node:crypto';
import type { Thread } from '@langchain/langgraph-sdk';
import {
  call,
  client,
  collect,
  counting,
  mark,
  newThread,
  openStream,
  ranThread,
  said,
} from '../../support/api.ts';
import { waitUntil } from '../../support/wait-until.ts';

const missing = (threadId: string): string => `HTTP 404: Thread with ID ${threadId} not found`;

test('create: what is left out, an id of its own, one that is there', async () => {
  const thread = await client.threads.create();
  expect(thread).toEqual({
    thread_id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/) as string,
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
    updated_at: expect.any(String) as string,
    metadata: {},
    status: 'idle',
    config: {},
    values: null,
    interrupts: {},
  });
  const threadId = randomUUID();
  const own = await client.threads.create({ threadId, metadata: { a: 1 }, graphId: 'agent' });
  expect(own).toMatchObject({ thread_id: threadId, metadata: { a: 1, graph_id: 'agent' } });
  await expect(client.threads.create({ threadId })).rejects.toThrow(
    'HTTP 409: Thread already exists',
  );
  const again = await client.threads.create({ threadId, ifExists: 'do_nothing' });
  expect(again.metadata).toEqual(own.metadata);
});

test('create with supersteps: one checkpoint each, as if nodes had made them', async () => {
  const thread = await client.threads.create({
    graphId: 'steps',
    supersteps: [
      { updates: [{ values: { log: ['begun'] }, asNode: '__input__' }] },
      { updates: [{ values: { log: ['begun'] }, asNode: '__start__' }] },
      { updates: [{ values: { log: ['by hand'] }, asNode: 'a' }] },
    ],
  });
  const state = await client.threads.getState(thread.thread_id);
  expect(state).toMatchObject({ values: { log: ['begun', 'by hand'] }, next: ['b'] });
  expect(await client.threads.getHistory(thread.thread_id)).toHaveLength(3);
  const more = await client.runs.wait(thread.thread_id, 'steps', { input: null });
  expect(more).toMatchObject({ log: ['begun', 'by hand', 'b', 'c'] });
  await expect(
    client.threads.create({ supersteps: [{ updates: [{ values: {}, asNode: 'a' }] }] }),
  ).rejects.toThrow('HTTP 400: supersteps: expected metadata.graph_id');
});

test('a time to live is taken and shown', async () => {
  const thread = await client.threads.create({ ttl: 5 });
  const shown = await client.threads.get(thread.thread_id, { include: ['ttl'] });
  expect(shown).toMatchObject({ ttl: { strategy: 'delete', ttl_minutes: 5 } });
  await client.threads.update(thread.thread_id, { ttl: { ttl: 7, strategy: 'delete' } });
  const later = await client.threads.get(thread.thread_id, { include: ['ttl'] });
  expect(later).toMatchObject({ ttl: { ttl_minutes: 7 } });
});

test('get: a thread that is not there is named', async () => {
  const id = randomUUID();
  await expect(client.threads.get(id)).rejects.toThrow(missing(id));
  expect((await call('GET', '/threads/no-uuid')).status).toBe(400);
});

test('patch: merges metadata, answers nothing when asked to, wants something to do', async () => {
  const threadId = await newThread({ a: 1, b: 1 });
  const patched = await client.threads.update(threadId, { metadata: { b: 2 } });
  expect(patched.metadata).toEqual({ a: 1, b: 2 });
  const minimal = await call(
    'PATCH',
    `/threads/${threadId}`,
    { metadata: { c: 3 } },
    { prefer: 'return=minimal' },
  );
  expect([minimal.status, minimal.text]).toEqual([204, '']);
  expect((await client.threads.get(threadId)).metadata).toEqual({ a: 1, b: 2, c: 3 });
  const empty = await call('PATCH', `/threads/${threadId}`, {});
  expect([empty.status, empty.json()]).toMatchObject([400, { error: { name: 'ZodError' } }]);
  const id = randomUUID();
  await expect(client.threads.update(id, { metadata: {} })).rejects.toThrow(missing(id));
});

test('delete: 204, with its runs and states; then it is gone', async () => {
  const threadId = await ranThread('agent', said('hi'));
  const [run] = await client.runs.list(threadId);
  const answer = await call('DELETE', `/threads/${threadId}`);
  expect([answer.status, answer.text]).toEqual([204, '']);
  await expect(client.threads.getState(threadId)).rejects.toThrow(missing(threadId));
  await expect(client.runs.get(threadId, run?.run_id ?? '')).rejects.toThrow('HTTP 404');
  await expect(client.threads.delete(threadId)).rejects.toThrow(missing(threadId));
});

test('search and count: by metadata, values, status and ids; sorted, in pages, selected, extracted', async () => {
  const series = mark();
  const metadata = { series };
  const ids: string[] = [];
  for (const n of [1, 2, 3]) ids.push(await newThread({ series, n }));
  const [first = '', second = '', third = ''] = ids;
  await client.runs.wait(first, 'agent', { input: said('find me') });
  await client.runs.wait(second, 'interrupt', { input: { item: 'tea' } });
  const found = async (query: object): Promise<string[]> =>
    (await client.threads.search({ metadata, ...query })).map(({ thread_id: id }) => id);
  expect(await found({})).toEqual([third, second, first]);
  expect(await found({ sortBy: 'created_at', sortOrder: 'asc' })).toEqual(ids);
  expect(await found({ sortBy: 'thread_id', sortOrder: 'asc' })).toEqual([...ids].sort());
  expect(await found({ sortBy: 'updated_at', limit: 1 })).toEqual([second]);
  expect(await found({ sortBy: 'status', sortOrder: 'desc', limit: 1 })).toEqual([second]);
  expect(await found({ status: 'interrupted' })).toEqual([second]);
  expect(await found({ values: { item: 'tea' } })).toEqual([second]);
  expect(await found({ ids: [third, first] })).toEqual([third, first]);
  expect(await found({ limit: 1, offset: 1 })).toEqual([second]);
  expect(await found({ metadata: { series, n: 3 } })).toEqual([third]);

  const chosen = await client.threads.search({
    metadata,
    ids: [first],
    select: ['thread_id', 'status'],
    extract: { said: 'values.messages[0].content', types: 'values.messages[*].type', no: 'x.y' },
  });
  expect(chosen).toEqual([
    {
      thread_id: first,
      status: 'idle',
      extracted: { said: 'find me', types: ['human', 'ai'], no: null },
    },
  ]);
  const page = await call('POST', '/threads/search', { metadata, limit: 1, offset: 1 });
  expect([page.headers.get('x-pagination-total'), page.headers.get('x-pagination-next')]).toEqual([
    '3',
    '2',
  ]);
  const last = await call('POST', '/threads/search', { metadata, limit: 1, offset: 2 });
  expect(last.headers.get('x-pagination-next')).toBeNull();
  expect((await call('POST', '/threads/search', { limit: 0 })).status).toBe(400);

  expect(await client.threads.count({ metadata })).toBe(3);
  expect(await client.threads.count({ metadata, status: 'interrupted' })).toBe(1);
  const counted = await call('POST', '/threads/count', { metadata, values: { item: 'tea' } });
  expect(counted.text).toBe('1');
});

test('copy: the same metadata and states under a new id', async () => {
  const threadId = await newThread({ series: 'copied' });
  await client.runs.wait(threadId, 'interrupt', { input: { item: 'tea' }, metadata: { mine: 1 } });
  const copy = await client.threads.copy(threadId);
  expect(copy.metadata).toMatchObject({ series: 'copied', thread_id: copy.thread_id });
  expect(copy.status).toBe('idle');
  const [old, own] = await Promise.all(
    [threadId, copy.thread_id].map((id) => client.threads.getHistory(id)),
  );
  expect(own?.map(({ values }) => values)).toEqual(old?.map(({ values }) => values));
  for (const state of own ?? []) {
    expect(state.checkpoint).toMatchObject({ thread_id: copy.thread_id });
    if (state.parent_checkpoint !== null)
      expect(state.parent_checkpoint).toMatchObject({ thread_id: copy.thread_id });
    expect(JSON.stringify(state)).not.toContain(threadId);
  }
  const done = await client.runs.wait(copy.thread_id, 'interrupt', { command: { resume: true } });
  expect(done).toMatchObject({ result: 'ordered tea' });
  expect((await client.threads.getState(threadId)).next).toEqual(['approval']);
  await expect(client.threads.copy(randomUUID())).rejects.toThrow('HTTP 409: Thread not found');
});

test('prune: threads, or all of their states but the latest', async () => {
  const [one, two] = [await ranThread('steps', {}), await ranThread('steps', {})];
  expect(await client.threads.prune([one, randomUUID()], { strategy: 'keep_latest' })).toEqual({
    pruned_count: 1,
  });
  expect(await client.threads.getHistory(one)).toHaveLength(1);
  expect((await client.threads.getState(one)).values).toEqual({ log: ['a', 'b', 'c'] });
  expect(await client.threads.prune([two])).toEqual({ pruned_count: 1 });
  await expect(client.threads.get(two)).rejects.toThrow(missing(two));
});

test('the row after a run: values, interrupts, error, and what the run bound it to', async () => {
  const done = await client.threads.get(await ranThread('agent', said('hi')));
  expect(done).toMatchObject({
    status: 'idle',
    interrupts: {},
    values: { messages: [{ type: 'human', content: 'hi' }, { type: 'ai' }] },
    metadata: { graph_id: 'agent', assistant_id: 'fe096781-5601-53d2-b2f6-0d3403f7e9ca' },
  });
  const asking = await client.threads.get(await ranThread('two_questions', {}));
  expect(asking.status).toBe('interrupted');
  expect(Object.values(asking.interrupts)).toEqual([
    [{ id: expect.any(String) as string, value: 'color' }],
    [{ id: expect.any(String) as string, value: 'size' }],
  ]);
  const failed = await client.threads.get(await ranThread('failing', {}));
  expect(failed).toMatchObject({
    status: 'error',
    error: { error: 'NoLuckError', message: 'this graph always fails' },
  });
});

test('the thread remembers its configuration, for factories of graphs', async () => {
  const threadId = await newThread();
  const values = await client.runs.wait(threadId, 'made', {
    input: {},
    config: { configurable: { shape: 'round' } },
  });
  expect(values).toMatchObject({ by: 'round' });
  const thread: Thread & { config?: unknown } = await client.threads.get(threadId);
  expect(thread.config).toMatchObject({ configurable: { shape: 'round' } });
  // The graph that the state is read with is made from it again.
  const [state] = await client.threads.getHistory(threadId, { limit: 1 });
  expect(state?.values).toMatchObject({ by: 'round' });
  await client.threads.updateState(threadId, { values: { by: 'hand' }, asNode: 'node_round' });
  expect((await client.threads.getState(threadId)).values).toMatchObject({ by: 'hand' });
});

test('the stream of a thread shows every run on it, to who comes late as well', async () => {
  const threadId = await newThread();
  const live = await openStream(`/threads/${threadId}/stream?stream_mode=run_modes`);
  for (const n of [1, 2])
    await collect(
      client.runs.stream(threadId, 'counter', {
        input: counting(2, 0),
        streamMode: ['custom'],
        metadata: { n },
      }),
    );
  await waitUntil(() => live.frames.filter(({ event }) => event === 'custom').length === 4, {
    timeoutMs: 20_000,
  });
  const ids = live.frames.map(({ id }) => Number(id));
  expect(ids).toEqual([...ids].sort((a, b) => a - b));
  const middle = live.frames[3]?.id ?? '';
  const later = await openStream(`/threads/${threadId}/stream`, undefined, {
    'last-event-id': middle,
  });
  await waitUntil(() => later.frames.length === live.frames.length - 4, { timeoutMs: 20_000 });
  expect(later.frames).toEqual(live.frames.slice(4));
  const lifecycle = await openStream(
    `/threads/${threadId}/stream?stream_mode=lifecycle`,
    undefined,
    {
      'last-event-id': '0',
    },
  );
  await waitUntil(() => lifecycle.frames.length >= 2, { timeoutMs: 20_000 });
  expect(lifecycle.frames.map(({ event }) => event)).toEqual(['metadata', 'metadata']);
  for (const stream of [live, later, lifecycle]) stream.close();
  const updates = await openStream(`/threads/${threadId}/stream?stream_mode=state_update`);
  expect(updates.status).toBe(200);
  updates.close();
  const bad = await call('GET', `/threads/${threadId}/stream?stream_mode=nonsense`);
  expect(bad.status).toBe(400);
});

test('the SDK joins a thread’s stream', async () => {
  const threadId = await newThread();
  const abort = new AbortController();
  const parts: unknown[] = [];
  const joined = (async () => {
    for await (const part of client.threads.joinStream(threadId, {
      lastEventId: '0',
      signal: abort.signal,
    }))
      if (parts.push(part) === 3) break;
  })();
  await client.runs.wait(threadId, 'agent', { input: said('hi') });
  await joined;
  abort.abort();
  expect(parts).toMatchObject([{ event: 'metadata' }, { event: 'values' }, { event: 'values' }]);
});

test('a thread that is busy is told so, and is deleted with the run under way', async () => {
  const threadId = await newThread();
  const run = await client.runs.create(threadId, 'counter', { input: counting(600, 100) });
  expect((await client.threads.get(threadId)).status).toBe('busy');
  const stream = collect(client.runs.joinStream(threadId, run.run_id));
  await client.threads.delete(threadId);
  await stream;
  await expect(client.threads.get(threadId)).rejects.toThrow(missing(threadId));
});
