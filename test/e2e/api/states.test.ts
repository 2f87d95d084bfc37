/** States of threads (HTTP.md, 3.2): read, changed by hand, and their history. */
import { randomUUID } from 'node:crypto';
import { call, client, newThread, ranThread, runningRun, said } from '../../support/api.ts';

const missing = (threadId: string): string => `HTTP 404: Thread with ID ${threadId} not found`;

test('a fresh thread has an empty state, and no history', async () => {
  const threadId = await newThread();
  expect(await client.threads.getState(threadId)).toMatchObject({
    values: {},
    next: [],
    tasks: [],
    created_at: null,
    checkpoint: null,
    parent_checkpoint: null,
  });
  expect(await client.threads.getHistory(threadId)).toEqual([]);
  const id = randomUUID();
  await expect(client.threads.getState(id)).rejects.toThrow(missing(id));
  await expect(client.threads.getHistory(id)).rejects.toThrow(missing(id));
});

test('the state tells its task, its interrupt and its checkpoint', async () => {
  const threadId = await ranThread('interrupt', { item: 'tea' });
  const state = await client.threads.getState(threadId);
  expect(state).toMatchObject({
    next: ['approval'],
    tasks: [
      {
        id: expect.any(String) as string,
        name: 'approval',
        error: null,
        interrupts: [{ value: { item: 'tea' } }],
        checkpoint: null,
        state: null,
        result: null,
      },
    ],
    checkpoint: { thread_id: threadId, checkpoint_ns: '', checkpoint_map: null },
    parent_checkpoint: { thread_id: threadId, checkpoint_ns: '' },
    metadata: { source: 'loop', step: expect.any(Number) as number },
    created_at: expect.stringMatching(/^\d{4}-/) as string,
  });
  expect(state.tasks[0]).toHaveProperty('path', expect.any(Array));
});

test('a task that is a subgraph has a checkpoint, or its state when asked for, however deep', async () => {
  const threadId = await ranThread('outer', { ask: true });
  const plain = await client.threads.getState(threadId);
  expect(plain.tasks).toMatchObject([
    {
      name: 'middle',
      checkpoint: {
        thread_id: threadId,
        checkpoint_ns: expect.stringMatching(/^middle:/) as string,
      },
      state: null,
    },
  ]);
  const whole = await client.threads.getState(threadId, undefined, { subgraphs: true });
  expect(whole.tasks).toMatchObject([
    {
      name: 'middle',
      checkpoint: null,
      state: {
        next: ['deep'],
        tasks: [{ name: 'deep', state: { next: ['work'], tasks: [{ name: 'work' }] } }],
      },
    },
  ]);
  // A subgraph's namespace, as the task names it; the SDK sends `subgraphs` as a boolean.
  const inner = await client.threads.getState(threadId, plain.tasks[0]?.checkpoint ?? '', {
    subgraphs: false,
  });
  expect(inner).toMatchObject({ next: ['deep'], values: { log: ['first'] } });
  const history = await client.threads.getHistory(threadId, {
    checkpoint: plain.tasks[0]?.checkpoint ?? {},
  });
  expect(history.length).toBeGreaterThan(0);
  for (const state of history) expect(state.checkpoint.checkpoint_ns).toMatch(/^middle:/);
});

test('the state at a checkpoint; one that is not known is empty and echoed', async () => {
  const threadId = await ranThread('steps', {});
  const history = await client.threads.getHistory<{ log: string[] }>(threadId);
  const early = history.find(({ values }) => values.log.length === 1);
  const id = early?.checkpoint.checkpoint_id ?? '';
  expect(await client.threads.getState(threadId, id)).toEqual(early);
  expect(await client.threads.getState(threadId, early?.checkpoint)).toEqual(early);
  const unknown = '1f000000-0000-6000-8000-000000000000';
  const empty = await call('GET', `/threads/${threadId}/state/${unknown}`);
  expect([empty.status, empty.json()]).toMatchObject([
    200,
    { values: {}, next: [], checkpoint: { thread_id: threadId, checkpoint_id: unknown } },
  ]);
  const nowhere = randomUUID();
  await expect(client.threads.getState(nowhere, id)).rejects.toThrow(missing(nowhere));
  await expect(client.threads.getState(nowhere, early?.checkpoint)).rejects.toThrow(
    missing(nowhere),
  );
});

test('a change by hand is a checkpoint, as the node it is made for, from where it is asked for', async () => {
  const threadId = await ranThread('steps', {});
  const history = await client.threads.getHistory<{ log: string[] }>(threadId);
  const early = history.find(({ values }) => values.log.length === 1);
  const answer = await client.threads.updateState(threadId, {
    values: { log: ['hand'] },
    asNode: 'b',
    checkpoint: early?.checkpoint ?? {},
  } as never);
  expect(answer).toMatchObject({
    checkpoint: {
      thread_id: threadId,
      checkpoint_ns: '',
      checkpoint_id: expect.any(String) as string,
    },
  });
  expect(await client.threads.getState(threadId)).toMatchObject({
    values: { log: ['a', 'hand'] },
    next: ['c'],
    metadata: { source: 'update' },
  });
  const byId = await client.threads.updateState(threadId, {
    values: { log: ['id'] },
    asNode: 'c',
    checkpointId: early?.checkpoint.checkpoint_id ?? '',
  });
  expect(byId).toHaveProperty('checkpoint.checkpoint_id');
  expect((await client.threads.getState(threadId)).values).toEqual({ log: ['a', 'id'] });
  // Values may be null (nothing changes), a list as well.
  const nothing = await call('POST', `/threads/${threadId}/state`, { values: null, as_node: 'c' });
  expect(nothing.status).toBe(200);
});

test('a change is refused without a graph, while a run is active, and where there is no thread', async () => {
  const threadId = await newThread();
  await expect(client.threads.updateState(threadId, { values: {} })).rejects.toThrow(
    `HTTP 400: Thread ${threadId} has no graph ID`,
  );
  const runId = await runningRun(threadId);
  await expect(client.threads.updateState(threadId, { values: {} })).rejects.toThrow(
    'HTTP 409: Thread is busy',
  );
  await client.runs.cancel(threadId, runId, true);
  const id = randomUUID();
  await expect(client.threads.updateState(id, { values: {} })).rejects.toThrow(missing(id));
});

test('after a change an interrupted thread still is', async () => {
  const threadId = await ranThread('interrupt', { item: 'tea' });
  await client.threads.updateState(threadId, { values: { item: 'coffee' } });
  expect((await client.threads.get(threadId)).status).toBe('interrupted');
});

test('patching the state merges metadata', async () => {
  const threadId = await newThread({ a: 1 });
  await client.threads.patchState(threadId, { b: 2 });
  expect((await client.threads.get(threadId)).metadata).toEqual({ a: 1, b: 2 });
});

test('history: newest first, n supersteps are n + 1 states', async () => {
  const threadId = await ranThread('steps', {});
  const history = await client.threads.getHistory<{ log: string[] }>(threadId);
  // The input and three supersteps, and the start of LangGraph.js.
  expect(history.map(({ next }) => next)).toEqual([[], ['c'], ['b'], ['a'], ['__start__']]);
  const dates = history.map((state) => String(state.created_at));
  expect(dates).toEqual([...dates].sort().reverse());
});

test('history: limit, before, metadata, by GET and by POST', async () => {
  const threadId = await newThread();
  await client.runs.wait(threadId, 'steps', { input: {}, metadata: { turn: 'first' } });
  await client.runs.wait(threadId, 'steps', {
    input: {},
    metadata: { turn: 'second' },
    config: { configurable: { tone: 'dry' } },
  });
  const all = await client.threads.getHistory(threadId, { limit: 100 });
  expect(all).toHaveLength(10);
  const idOf = (n: number): string => String(all[n]?.checkpoint.checkpoint_id);
  const ids = (states: { checkpoint: { checkpoint_id?: unknown } }[]): unknown[] =>
    states.map(({ checkpoint }) => checkpoint.checkpoint_id);
  expect(ids(await client.threads.getHistory(threadId, { limit: 2 }))).toEqual([idOf(0), idOf(1)]);
  const before = {
    configurable: { checkpoint_id: idOf(7), thread_id: threadId, checkpoint_ns: '' },
  };
  expect(ids(await client.threads.getHistory(threadId, { before }))).toEqual([idOf(8), idOf(9)]);
  for (const form of [idOf(7), { checkpoint_id: idOf(7) }]) {
    const answer = await call('POST', `/threads/${threadId}/history`, { before: form });
    expect(ids(answer.json())).toEqual([idOf(8), idOf(9)]);
  }
  const got = await call('GET', `/threads/${threadId}/history?limit=1&before=${idOf(7)}`);
  expect(ids(got.json())).toEqual([idOf(8)]);
  const first = await client.threads.getHistory(threadId, { metadata: { turn: 'first' } });
  expect(ids(first)).toEqual([5, 6, 7, 8, 9].map(idOf));
  // Configuration is metadata of the checkpoint as well; what names a place is not.
  const dry = await client.threads.getHistory(threadId, { metadata: { tone: 'dry' } });
  expect(dry).toHaveLength(5);
  const metadata = dry[0]?.metadata as Record<string, unknown>;
  expect(metadata).toMatchObject({
    source: 'loop',
    step: expect.any(Number) as number,
    parents: {},
  });
  for (const key of ['checkpoint_ns', 'checkpoint_id', '__pregel_checkpointer'])
    expect(metadata).not.toHaveProperty([key]);
});

test('messages in states and histories are flat', async () => {
  const threadId = await ranThread('agent', said('hi'));
  const [state] = await client.threads.getHistory<{ messages: object[] }>(threadId, { limit: 1 });
  expect(state?.values.messages[0]).toMatchObject({ type: 'human', content: 'hi' });
  expect(JSON.stringify(state)).not.toContain('"lc"');
});
