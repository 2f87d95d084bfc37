/** Threads that end by themselves, are pruned, begin with given states, and give single values of theirs. */
import { Annotation, START, StateGraph } from '@langchain/langgraph';
import { Client } from '@langchain/langgraph-sdk';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});
const graph = new StateGraph(State)
  .addNode('a', () => ({ log: ['a'] }))
  .addNode('b', () => ({ log: ['b'] }))
  .addEdge(START, 'a')
  .addEdge('a', 'b');

let app: TestServer;
let client: Client;
beforeAll(async () => {
  app = await startTestServer({ redis: false, graph, environment: { SWEEPER_INTERVAL: '0.05' } });
  client = new Client({ apiUrl: app.url, apiKey: null });
});
afterAll(() => app.stop());

const played = async (options: { ttl?: number } = {}): Promise<string> => {
  const { thread_id: threadId } = await client.threads.create(options);
  await client.runs.wait(threadId, 'test', { input: { log: ['in'] } });
  return threadId;
};
const exists = async (threadId: string): Promise<boolean> =>
  (await app.call('GET', `/threads/${threadId}`)).status === 200;
const rowsOf = async (table: string, threadId: string): Promise<number> =>
  (await app.core.pool.query(`SELECT 1 FROM ${table} WHERE thread_id = $1`, [threadId])).rowCount ??
  0;
const age = (threadId: string): Promise<unknown> =>
  app.core.pool.query(
    `UPDATE threads SET updated_at = now() - interval '11 minutes' WHERE thread_id = $1`,
    [threadId],
  );

test('a thread is gone with all of it when its time is over, and no sooner', async () => {
  const mortal = await played({ ttl: 10 });
  const longer = await played({ ttl: 12 });
  const immortal = await played();
  const shown = await app.call('GET', `/threads/${mortal}?include=ttl`);
  expect(shown.json()).toMatchObject({
    ttl: { strategy: 'delete', ttl_minutes: 10, expires_at: expect.stringMatching(/Z$/) as string },
  });
  for (const threadId of [mortal, longer, immortal]) await age(threadId);
  await waitUntil(async () => !(await exists(mortal)), { timeoutMs: 20_000 });
  expect(await rowsOf('checkpoints', mortal)).toBe(0);
  expect([await exists(longer), await exists(immortal)]).toEqual([true, true]);
});

test('a time is given later, and a run that is under way is never cut off', async () => {
  const { thread_id: threadId } = await client.threads.create();
  await client.threads.update(threadId, { ttl: 10, returnMinimal: true });
  await client.runs.create(threadId, 'test', { input: { log: [] }, afterSeconds: 600 });
  await age(threadId);
  const witness = await played({ ttl: 10 });
  await age(witness);
  await waitUntil(async () => !(await exists(witness)), { timeoutMs: 20_000 });
  expect(await exists(threadId)).toBe(true);
});

test('pruning to the latest keeps the state and loses the way to it', async () => {
  const threadId = await played();
  const before = await client.threads.getState(threadId);
  expect(await client.threads.prune([threadId], { strategy: 'keep_latest' })).toEqual({
    pruned_count: 1,
  });
  const after = await client.threads.getState(threadId);
  expect(after).toEqual({ ...before, parent_checkpoint: null });
  expect(await client.threads.getHistory(threadId)).toHaveLength(1);
  await client.runs.wait(threadId, 'test', { input: { log: ['again'] } });
  expect((await client.threads.getState(threadId)).values).toEqual({
    log: ['in', 'a', 'b', 'again', 'a', 'b'],
  });
});

test('pruning deletes threads, counts those that were there, and spares the states of busy ones', async () => {
  const [one, two] = [await played(), await played()];
  expect(await client.threads.prune([one, one, crypto.randomUUID()])).toEqual({ pruned_count: 1 });
  expect([await exists(one), await exists(two)]).toEqual([false, true]);
  await client.runs.create(two, 'test', { input: { log: [] }, afterSeconds: 600 });
  expect(await client.threads.prune([two], { strategy: 'keep_latest' })).toEqual({
    pruned_count: 0,
  });
});

test('a thread begins with given supersteps, one checkpoint each', async () => {
  const { thread_id: threadId, values } = await client.threads.create({
    graphId: 'test',
    supersteps: [
      { updates: [{ values: { log: ['in'] }, asNode: '__input__' }] },
      { updates: [{ values: { log: ['in'] }, asNode: '__start__' }] },
      { updates: [{ values: { log: ['mine'] }, asNode: 'a' }] },
    ],
  });
  expect(values).toEqual({ log: ['in', 'mine'] });
  const state = await client.threads.getState(threadId);
  expect(state).toMatchObject({ values: { log: ['in', 'mine'] }, next: ['b'] });
  expect(await client.threads.getHistory(threadId)).toHaveLength(3);
  await client.runs.wait(threadId, 'test', { input: null });
  expect((await client.threads.getState(threadId)).values).toEqual({ log: ['in', 'mine', 'b'] });
});

test.each([
  [{}, 'supersteps: expected metadata.graph_id'],
  [{ metadata: { graph_id: 'test' }, as: 'nobody' }, 'nobody'],
])(
  'supersteps that cannot be applied leave no thread: %j',
  async ({ metadata, as }: { metadata?: object; as?: string }, text) => {
    const threadId = crypto.randomUUID();
    const answer = await app.call('POST', '/threads', {
      thread_id: threadId,
      metadata,
      supersteps: [{ updates: [{ values: {}, as_node: as ?? 'a' }] }],
    });
    expect(answer.status).toBe(400);
    expect(answer.text).toContain(text);
    expect(await exists(threadId)).toBe(false);
  },
);

test('single values of threads are extracted, and metadata is patched through the state', async () => {
  const threadId = await played();
  await client.threads.patchState(threadId, { mark: 'x' });
  const found = await client.threads.search({
    ids: [threadId],
    select: ['thread_id'],
    extract: {
      last: 'values.log[-1]',
      all: 'values.log[*]',
      mark: 'metadata.mark',
      none: 'values.no',
    },
  });
  expect(found).toEqual([
    {
      thread_id: threadId,
      extracted: { last: 'b', all: ['in', 'a', 'b'], mark: 'x', none: null },
    },
  ]);
});

test('a search by values never finds a thread without values', async () => {
  const empty = await client.threads.create();
  const found = await client.threads.search({ values: {}, limit: 1000 });
  expect(found.map(({ thread_id: threadId }) => threadId)).not.toContain(empty.thread_id);
});
