/** The official JS SDK, unchanged, against server and worker processes: two of each. */
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Client } from '@langchain/langgraph-sdk';
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { waitUntil } from '../support/wait-until.ts';

const GRAPHS = fileURLToPath(new URL('./graphs/langgraph.json', import.meta.url));

interface Part {
  id?: string;
  event: string;
  data: unknown;
}

async function collect(stream: AsyncIterable<unknown>): Promise<Part[]> {
  const parts: Part[] = [];
  for await (const part of stream) parts.push(part as Part);
  return parts;
}

const said = (text: string): { messages: object[] } => ({
  messages: [{ role: 'user', content: text }],
});

describe.each([{ redis: true }, { redis: false }])('with redis: $redis', ({ redis }) => {
  let cluster: Cluster;
  let client: Client;
  /** Another server than `client`'s. */
  let other: Client;
  beforeAll(async () => {
    cluster = await startCluster({
      ...(redis ? {} : { redis: false }),
      servers: 2,
      workers: 2,
      env: { ...PATIENT, LANGGRAPH_CONFIG_PATH: GRAPHS },
    });
    const [first, second] = cluster.servers.map(({ url }) => url);
    client = new Client({ apiUrl: first ?? '', apiKey: null });
    other = new Client({ apiUrl: second ?? '', apiKey: null });
  }, 120_000);
  afterAll(() => cluster.stop(), 120_000);

  const newThread = async (): Promise<string> => (await client.threads.create()).thread_id;
  const statusOf = async (threadId: string, runId: string): Promise<string> =>
    (await other.runs.get(threadId, runId)).status;
  const count = (steps: number, delayMs: number, deaf = false): object => ({
    input: { steps, delayMs, deaf },
    streamMode: ['custom', 'values'] as const,
    streamResumable: true,
  });

  test('wait answers with the final values, flat messages in them', async () => {
    const values = await client.runs.wait(await newThread(), 'agent', { input: said('hello') });
    const { messages } = values as { messages: { type: string; content: string }[] };
    expect(messages.map(({ type, content }) => [type, content])).toEqual([
      ['human', 'hello'],
      ['ai', 'You said: hello'],
    ]);
  });

  test('create, then join on another server, and the run is there to read', async () => {
    const threadId = await newThread();
    let created: unknown;
    const run = await client.runs.create(threadId, 'agent', {
      input: said('one'),
      metadata: { tag: 'mine' },
      onRunCreated: (params) => (created = params),
    });
    expect(created).toEqual({ run_id: run.run_id, thread_id: threadId });
    expect(run.status).toBe('pending');
    const values = (await other.runs.join(threadId, run.run_id)) as { messages: unknown[] };
    expect(values.messages).toHaveLength(2);
    const read = await other.runs.get(threadId, run.run_id);
    expect(read).toMatchObject({
      status: 'success',
      thread_id: threadId,
      metadata: { tag: 'mine' },
    });
    expect((await other.runs.list(threadId)).map((one) => one.run_id)).toEqual([run.run_id]);
    await client.runs.delete(threadId, run.run_id);
    await expect(other.runs.get(threadId, run.run_id)).rejects.toThrow('HTTP 404: Run not found');
  });

  test('stream: metadata first, numbered from 0, then the end', async () => {
    const parts = await collect(
      client.runs.stream(await newThread(), 'agent', {
        input: said('hi'),
        streamMode: ['values', 'updates'],
      }),
    );
    expect(parts[0]).toMatchObject({ id: '0', event: 'metadata', data: { attempt: 1 } });
    expect(Object.keys(parts[0]?.data as object).sort()).toEqual(['attempt', 'run_id']);
    expect(parts.map(({ id }) => id)).toEqual(parts.map((_part, n) => String(n)));
    expect(parts.map(({ event }) => event)).toEqual(['metadata', 'values', 'updates', 'values']);
  });

  test('joinStream goes on after Last-Event-ID, on another server, live and after the end', async () => {
    const threadId = await newThread();
    const run = await client.runs.create(threadId, 'counter', count(20, 20));
    const all = collect(client.runs.joinStream(threadId, run.run_id, { lastEventId: '-1' }));
    const some: Part[] = [];
    for await (const part of other.runs.joinStream(threadId, run.run_id)) {
      some.push(part);
      if (some.length === 8) break;
    }
    const seen = some.at(-1)?.id ?? '';
    const rest = await collect(other.runs.joinStream(threadId, run.run_id, { lastEventId: seen }));
    const whole = await all;
    expect(whole.map(({ id }) => id)).toEqual(whole.map((_part, n) => String(n)));
    expect([...some, ...rest]).toEqual(whole);
    // Now from the archive.
    expect(await collect(other.runs.joinStream(threadId, run.run_id))).toEqual(whole);
    const custom = await collect(
      other.runs.joinStream(threadId, run.run_id, { streamMode: 'custom' }),
    );
    expect(custom.map(({ data }) => data)).toEqual([
      { run_id: run.run_id, attempt: 1 },
      ...Array.from({ length: 20 }, (_, step) => ({ step })),
    ]);
  });

  test.each([{ deaf: false }, { deaf: true }])(
    'cancel with wait answers when the run has stopped (deaf node: $deaf)',
    async ({ deaf }) => {
      const threadId = await newThread();
      const run = await client.runs.create(threadId, 'counter', count(4, 5_000, deaf));
      // Not only claimed: cancelled before its first checkpoint it would leave nothing to go on from.
      await waitUntil(
        async () => (await client.threads.getState(threadId)).next.includes('count'),
        { timeoutMs: 20_000 },
      );
      const stream = collect(client.runs.joinStream(threadId, run.run_id));
      await other.runs.cancel(threadId, run.run_id, true);
      expect(await statusOf(threadId, run.run_id)).toBe('interrupted');
      await stream;
      const thread = await client.threads.get(threadId);
      expect(thread.status).toBe('idle');
      const state = await client.threads.getState(threadId);
      expect(state.next).toEqual(['count']);
    },
  );

  test('cancel without wait answers at once, and the run ends soon', async () => {
    const threadId = await newThread();
    const run = await client.runs.create(threadId, 'counter', count(100, 100));
    await waitUntil(async () => (await statusOf(threadId, run.run_id)) === 'running', {
      timeoutMs: 20_000,
    });
    await other.runs.cancel(threadId, run.run_id);
    await waitUntil(async () => (await statusOf(threadId, run.run_id)) === 'interrupted', {
      timeoutMs: 20_000,
    });
  });

  test('cancel with rollback leaves neither the run nor its checkpoints', async () => {
    const threadId = await newThread();
    await client.runs.wait(threadId, 'counter', count(1, 0));
    const before = await client.threads.getHistory(threadId);
    const slow = await client.runs.create(threadId, 'counter', count(100, 100));
    await waitUntil(async () => (await statusOf(threadId, slow.run_id)) === 'running', {
      timeoutMs: 20_000,
    });
    await other.runs.cancel(threadId, slow.run_id, true, 'rollback');
    await expect(other.runs.get(threadId, slow.run_id)).rejects.toThrow('HTTP 404');
    expect(await client.threads.getHistory(threadId)).toEqual(before);
    expect((await other.threads.get(threadId)).status).toBe('idle');
  });

  test('an interrupt shows in the thread, and a command resumes it', async () => {
    const threadId = await newThread();
    const parts = await collect(
      client.runs.stream(threadId, 'interrupt', {
        input: { item: 'coffee' },
        streamMode: ['values', 'updates'],
      }),
    );
    expect(parts.at(-1)?.event).toBe('values');
    expect(parts.at(-1)?.data).toHaveProperty('__interrupt__');
    const thread = await other.threads.get(threadId);
    expect(thread.status).toBe('interrupted');
    expect(Object.values(thread.interrupts).flat()).toMatchObject([
      { value: { question: 'Shall this be ordered?', item: 'coffee' } },
    ]);
    const state = await other.threads.getState(threadId);
    expect(state.next).toEqual(['approval']);
    const values = await other.runs.wait(threadId, 'interrupt', { command: { resume: true } });
    expect(values).toMatchObject({ result: 'ordered coffee' });
    expect((await client.threads.get(threadId)).status).toBe('idle');
  });

  test('a graph that throws: error event, __error__, status', async () => {
    const threadId = await newThread();
    await expect(client.runs.wait(threadId, 'failing', { input: {} })).rejects.toThrow(
      'NoLuckError: this graph always fails',
    );
    const parts = await collect(client.runs.stream(threadId, 'failing', { input: {} }));
    expect(parts.at(-1)).toMatchObject({
      event: 'error',
      data: { error: 'NoLuckError', message: 'this graph always fails' },
    });
    expect((await other.threads.get(threadId)).status).toBe('error');
  });

  test('stateless runs: wait, stream, create', async () => {
    const values = await client.runs.wait(null, 'agent', { input: said('alone') });
    expect(values).toMatchObject({ messages: [{}, { content: 'You said: alone' }] });
    let place: unknown;
    const parts = await collect(
      client.runs.stream(null, 'agent', {
        input: said('alone'),
        onRunCreated: (params) => (place = params),
      }),
    );
    expect(parts.at(-1)?.data).toMatchObject({ messages: [{}, { content: 'You said: alone' }] });
    expect(place).toMatchObject({ thread_id: undefined });
    const batch = await client.runs.createBatch([
      { assistantId: 'agent', input: said('1'), ifNotExists: 'create' },
      { assistantId: 'agent', input: said('2') },
    ]);
    expect(batch.map(({ status }) => status)).toEqual(['pending', 'pending']);
  });

  test('threads: create, get, update, search, count, copy, delete', async () => {
    const mark = randomUUID();
    const thread = await client.threads.create({ metadata: { mark }, graphId: 'agent' });
    await expect(client.threads.create({ threadId: thread.thread_id })).rejects.toThrow(
      'HTTP 409: Thread already exists',
    );
    await client.threads.create({ threadId: thread.thread_id, ifExists: 'do_nothing' });
    await client.runs.wait(thread.thread_id, 'agent', { input: said('x') });
    await client.threads.update(thread.thread_id, { metadata: { more: 1 } });
    const found = await other.threads.search({
      metadata: { mark },
      select: ['thread_id', 'metadata'],
    });
    expect(found).toHaveLength(1);
    expect(Object.keys(found[0] ?? {})).toEqual(['thread_id', 'metadata']);
    expect(found[0]?.metadata).toMatchObject({ mark, more: 1 });
    expect(await other.threads.count({ metadata: { mark } })).toBe(1);
    const copy = await other.threads.copy(thread.thread_id);
    expect(copy.metadata).toMatchObject({ mark, thread_id: copy.thread_id });
    const [original, copied] = await Promise.all(
      [thread, copy].map(({ thread_id: threadId }) => other.threads.getState(threadId)),
    );
    expect(copied?.values).toEqual(original?.values);
    await client.threads.delete(thread.thread_id);
    await expect(other.threads.get(thread.thread_id)).rejects.toThrow(
      `HTTP 404: Thread with ID ${thread.thread_id} not found`,
    );
    expect((await other.threads.getState(copy.thread_id)).values).toEqual(original?.values);
  });

  test('state: update by hand, history, fork from an earlier checkpoint', async () => {
    const threadId = await newThread();
    await client.runs.wait(threadId, 'agent', { input: said('first') });
    expect(await client.threads.getHistory(threadId)).toHaveLength(3);
    await client.runs.wait(threadId, 'agent', { input: said('second') });
    const history = await other.threads.getHistory<{ messages: unknown[] }>(threadId);
    const early = history.find((state) => state.values.messages.length === 2);
    expect(early?.checkpoint.checkpoint_id).toEqual(expect.any(String));
    const updated = (await client.threads.updateState(threadId, {
      values: said('by hand'),
      asNode: 'agent',
    })) as { checkpoint: { thread_id: string } };
    expect(updated.checkpoint.thread_id).toBe(threadId);
    const state = await other.threads.getState<{ messages: unknown[] }>(threadId);
    expect(state.values.messages).toHaveLength(5);
    const forked = (await other.runs.wait(threadId, 'agent', {
      input: said('fork'),
      checkpointId: early?.checkpoint.checkpoint_id ?? '',
    })) as { messages: unknown[] };
    expect(forked.messages).toHaveLength(4);
    const before = await other.threads.getHistory(threadId, {
      limit: 1,
      before: { configurable: { checkpoint_id: early?.checkpoint.checkpoint_id } },
    });
    expect(before).toHaveLength(1);
    const at = await other.threads.getState(threadId, early?.checkpoint.checkpoint_id ?? '');
    expect(at.values).toEqual(early?.values);
    expect((await other.threads.getState(threadId, early?.checkpoint)).values).toEqual(at.values);
  });

  test('assistants: the default one, one of our own with its versions', async () => {
    const agents = await client.assistants.search({ graphId: 'agent' });
    expect(agents).toMatchObject([
      { assistant_id: 'fe096781-5601-53d2-b2f6-0d3403f7e9ca', metadata: { created_by: 'system' } },
    ]);
    const mine = await client.assistants.create({
      graphId: 'agent',
      name: 'Mine',
      config: { configurable: { tone: 'dry' } },
    });
    await other.assistants.update(mine.assistant_id, { name: 'Still mine' });
    const versions = await client.assistants.getVersions(mine.assistant_id);
    expect(versions.map(({ version, name }) => [version, name])).toEqual([
      [2, 'Still mine'],
      [1, 'Mine'],
    ]);
    expect((await client.assistants.setLatest(mine.assistant_id, 1)).name).toBe('Mine');
    const run = await client.runs.create(await newThread(), mine.assistant_id, {
      input: said('x'),
    });
    expect(run).toMatchObject({ kwargs: { config: { configurable: { tone: 'dry' } } } });
    const graph = await client.assistants.getGraph('agent');
    expect(graph.nodes.map(({ id }) => id)).toEqual(['__start__', 'agent', '__end__']);
    const schemas = await client.assistants.getSchemas(mine.assistant_id);
    expect(schemas).toMatchObject({ graph_id: 'agent' });
    expect(await client.assistants.getSubgraphs('agent')).toEqual({});
    await client.runs.join(run.thread_id, run.run_id);
    await client.assistants.delete(mine.assistant_id, { deleteThreads: true });
    await expect(other.threads.get(run.thread_id)).rejects.toThrow('HTTP 404');
    await expect(other.assistants.get(mine.assistant_id)).rejects.toThrow(
      'HTTP 404: Assistant not found',
    );
  });
});
