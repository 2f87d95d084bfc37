/** Runs (HTTP.md, 3.3 and 4), through the official SDK where it has the call. Their streams are in streams.test.ts. */
import { randomUUID } from 'node:crypto';
import {
  call,
  client,
  collect,
  counting,
  langSmithUrl,
  newThread,
  openStream,
  ranThread,
  runningRun,
  said,
  statusOf,
  url,
} from '../../support/api.ts';
import { startReceiver } from '../../support/receiver.ts';
import type { Receiver } from '../../support/receiver.ts';
import { waitUntil } from '../../support/wait-until.ts';

let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver();
});
afterAll(() => receiver.stop());

const SOON = { timeoutMs: 20_000 };
const NO_ASSISTANT =
  'HTTP 404: No assistant found for "nobody". Make sure the assistant ID is for a valid assistant or a valid graph ID.';
const log = async (threadId: string): Promise<string[]> =>
  (await client.threads.getState<{ log: string[] }>(threadId)).values.log;

test('create: the run as it is stored, and where it is', async () => {
  const threadId = await newThread();
  const answer = await call('POST', `/threads/${threadId}/runs`, {
    assistant_id: 'agent',
    input: said('hi'),
    metadata: { m: 1 },
    config: { tags: ['t'], configurable: { c: 2 } },
    context: { x: 3 },
    stream_mode: 'updates',
    interrupt_before: ['nobody'],
    interrupt_after: '*',
    multitask_strategy: 'enqueue',
    stream_subgraphs: true,
    stream_resumable: true,
  });
  const run = answer.json<Record<string, string>>();
  const ids = { run_id: run['run_id'], thread_id: threadId };
  expect(answer.headers.get('content-location')).toBe(
    `/threads/${threadId}/runs/${run['run_id'] ?? ''}`,
  );
  expect(run).toEqual({
    ...ids,
    assistant_id: 'fe096781-5601-53d2-b2f6-0d3403f7e9ca',
    status: 'pending',
    metadata: { created_by: 'system', m: 1 },
    multitask_strategy: 'enqueue',
    created_at: expect.any(String) as string,
    updated_at: expect.any(String) as string,
    kwargs: {
      input: said('hi'),
      command: null,
      config: {
        tags: ['t'],
        configurable: expect.objectContaining({
          ...ids,
          c: 2,
          graph_id: 'agent',
          assistant_id: 'fe096781-5601-53d2-b2f6-0d3403f7e9ca',
        }) as object,
        metadata: { created_by: 'system', m: 1 },
      },
      context: { x: 3 },
      stream_mode: ['updates'],
      interrupt_before: ['nobody'],
      interrupt_after: '*',
      webhook: null,
      feedback_keys: null,
      temporary: false,
      subgraphs: true,
      resumable: true,
      durability: null,
    },
  });
  await client.runs.join(threadId, run['run_id'] ?? '');
});

test('an unknown assistant is named, an unknown thread as well, whatever is asked for', async () => {
  const threadId = await newThread();
  const input = { input: {} };
  await expect(client.runs.create(threadId, 'nobody', input)).rejects.toThrow(NO_ASSISTANT);
  await expect(client.runs.wait(null, 'nobody', input)).rejects.toThrow(NO_ASSISTANT);
  await expect(collect(client.runs.stream(null, 'nobody', input))).rejects.toThrow(NO_ASSISTANT);
  const nowhere = randomUUID();
  const missing = `HTTP 404: Thread with ID ${nowhere} not found`;
  await expect(client.runs.create(nowhere, 'agent', input)).rejects.toThrow(missing);
  await expect(client.runs.wait(nowhere, 'agent', input)).rejects.toThrow(missing);
  await expect(client.runs.list(nowhere)).rejects.toThrow(missing);
});

test('if_not_exists makes the thread', async () => {
  const threadId = randomUUID();
  await client.runs.wait(threadId, 'agent', { input: said('hi'), ifNotExists: 'create' });
  expect((await client.threads.get(threadId)).metadata).toMatchObject({ graph_id: 'agent' });
});

test('no input goes on from the state; where there is none, it is an error of the run', async () => {
  const threadId = await ranThread('steps', {});
  // Nothing is left to do: the state as it is, as the official server answers.
  const values = await client.runs.wait(threadId, 'steps', { input: null });
  expect(values).toEqual({ log: ['a', 'b', 'c'] });
  const empty = /^EmptyInputError: Received no input writes/;
  await expect(
    client.runs.wait(threadId, 'steps', { input: null, checkpointId: randomUUID() }),
  ).rejects.toThrow(empty);
  await expect(client.runs.wait(await newThread(), 'steps', { input: null })).rejects.toThrow(
    empty,
  );
});

test('a command resumes, one interrupt or several by their ids, and is stronger than the input', async () => {
  const one = await ranThread('interrupt', { item: 'tea' });
  const values = await client.runs.wait(one, 'interrupt', {
    input: { item: 'coffee' },
    command: { resume: true },
  });
  expect(values).toMatchObject({ result: 'ordered tea' });
  const two = await ranThread('two_questions', {});
  const { interrupts } = await client.threads.get(two);
  const asked: { id?: string; value?: unknown }[] = Object.values(interrupts).flat();
  const resume: Record<string, string> = {};
  for (const { id = '', value } of asked) resume[id] = `my ${String(value)}`;
  const answered = (await client.runs.wait(two, 'two_questions', { command: { resume } })) as {
    log: string[];
  };
  expect([...answered.log].sort()).toEqual(['color=my color', 'size=my size']);
});

test('a command updates and goes: object and pairs, name, node with input, list of both', async () => {
  const pairs = await client.runs.wait(await ranThread('steps', {}), 'steps', {
    command: { update: [['log', ['pair']]], goto: 'c' },
  });
  expect(pairs).toMatchObject({ log: ['a', 'b', 'c', 'pair', 'c'] });
  const sends = (await client.runs.wait(await ranThread('steps', {}), 'steps', {
    command: {
      update: { log: ['object'] },
      goto: ['c', { node: 'c', input: { item: 'x' } }] as never,
    },
  })) as { log: string[] };
  expect(sends.log.slice(0, 4)).toEqual(['a', 'b', 'c', 'object']);
  expect(sends.log.slice(4).sort()).toEqual(['c', 'c:x']);
  const single = await client.runs.wait(await ranThread('steps', {}), 'steps', {
    command: { goto: { node: 'c', input: { item: 'y' } } },
  });
  expect(single).toMatchObject({ log: ['a', 'b', 'c', 'c:y'] });
});

test('what a graph is given: assistant, thread and request merged, and the headers', async () => {
  const assistant = await client.assistants.create({
    graphId: 'seen',
    config: { configurable: { a: 'assistant', b: 'assistant' }, tags: ['t'], recursion_limit: 20 },
    context: { a: 'assistant', b: 'assistant' },
    metadata: { of: 'assistant', both: 'assistant' },
  });
  const threadId = await newThread({ thread: 'yes', both: 'thread' });
  const response = await call(
    'POST',
    `/threads/${threadId}/runs/wait`,
    {
      assistant_id: assistant.assistant_id,
      input: {},
      config: { configurable: { b: 'run' } },
      context: { b: 'run' },
      metadata: { run: 'yes' },
    },
    {
      'x-api-key': 'secret',
      'x-tenant-id': 'secret',
      'x-service-key': 'secret',
      'X-Mine': 'yes',
      'user-agent': 'tester',
    },
  );
  const { seen } = response.json<{ seen: Record<string, Record<string, unknown>> }>();
  expect(seen).toMatchObject({
    configurable: {
      a: 'assistant',
      b: 'run',
      'x-mine': 'yes',
      'user-agent': 'tester',
      thread_id: threadId,
      run_id: expect.any(String) as string,
      graph_id: 'seen',
      assistant_id: assistant.assistant_id,
    },
    context: { a: 'assistant', b: 'run' },
    metadata: { of: 'assistant', thread: 'yes', both: 'thread', run: 'yes' },
    tags: ['t'],
    limit: 20,
  });
  expect(JSON.stringify(await client.runs.list(threadId))).not.toContain('secret');
  const byGraph = (await client.runs.wait(null, 'seen', { input: {} })) as { seen: object };
  expect(byGraph.seen).toMatchObject({
    configurable: { from: 'LANGGRAPH_CONFIG' },
    context: { lang: 'de' },
  });
});

test('a checkpoint is where the run goes on from, by its id or as an object', async () => {
  const threadId = await ranThread('steps', {});
  const history = await client.threads.getHistory<{ log: string[] }>(threadId);
  const early = history.find(({ values }) => values.log.length === 1);
  const id = early?.checkpoint.checkpoint_id ?? '';
  for (const from of [{ checkpointId: id }, { checkpoint: early?.checkpoint ?? {} }]) {
    const values = await client.runs.wait(threadId, 'steps', { input: null, ...from } as never);
    expect(values).toEqual({ log: ['a', 'b', 'c'] });
  }
  expect(await client.threads.getHistory(threadId, { limit: 100 })).toHaveLength(11);
});

test('interrupt_before and interrupt_after: nodes or all; the thread waits, the run has succeeded', async () => {
  const threadId = await newThread();
  await client.runs.wait(threadId, 'steps', { input: {}, interruptBefore: ['b'] });
  expect(await log(threadId)).toEqual(['a']);
  expect((await client.threads.get(threadId)).status).toBe('interrupted');
  const [run] = await client.runs.list(threadId);
  expect(run?.status).toBe('success');
  await client.runs.wait(threadId, 'steps', { input: null, interruptAfter: '*' });
  expect(await log(threadId)).toEqual(['a', 'b']);
  await client.runs.wait(threadId, 'steps', { input: null });
  expect(await log(threadId)).toEqual(['a', 'b', 'c']);
  expect((await client.threads.get(threadId)).status).toBe('idle');
});

test('reject: 409 while a run is active, which goes on; a new run is taken after it', async () => {
  const threadId = await newThread();
  const runId = await runningRun(threadId);
  const second = { input: counting(0, 0), multitaskStrategy: 'reject' as const };
  await expect(client.runs.create(threadId, 'counter', second)).rejects.toThrow(
    'HTTP 409: Thread is already running a task. Wait for it to finish or choose a different multitask strategy.',
  );
  expect(await statusOf(threadId, runId)).toBe('running');
  await client.runs.cancel(threadId, runId, true);
  await client.runs.wait(threadId, 'counter', second);
});

test('enqueue is the default: one at a time, in the order of creation', async () => {
  const threadId = await newThread();
  const runs = [];
  for (const n of [1, 2, 3])
    runs.push(
      await client.runs.create(threadId, 'steps', { input: { item: String(n) }, metadata: { n } }),
    );
  for (const { run_id: runId } of runs) await client.runs.join(threadId, runId);
  expect(runs.map(({ multitask_strategy: strategy }) => strategy)).toEqual(
    Array(3).fill('enqueue'),
  );
  expect(await log(threadId)).toEqual(
    ['1', '2', '3'].flatMap((n) => [`a:${n}`, `b:${n}`, `c:${n}`]),
  );
});

test('interrupt: the run under way ends, what it has finished is kept', async () => {
  const threadId = await ranThread('counter', counting(0, 0));
  const runId = await runningRun(threadId);
  const values = await client.runs.wait(threadId, 'counter', {
    input: counting(0, 0),
    multitaskStrategy: 'interrupt',
  });
  expect(await statusOf(threadId, runId)).toBe('interrupted');
  expect(values).toMatchObject({ done: ['count', 'last', 'count', 'last'] });
});

test('rollback: the run under way is gone with its states', async () => {
  const threadId = await ranThread('counter', counting(0, 0));
  const before = await client.threads.getHistory(threadId);
  const runId = await runningRun(threadId);
  await client.runs.wait(threadId, 'counter', {
    input: counting(0, 0),
    multitaskStrategy: 'rollback',
  });
  await expect(client.runs.get(threadId, runId)).rejects.toThrow('HTTP 404: Run not found');
  const after = await client.threads.getHistory(threadId, { limit: 100 });
  expect(after.slice(-before.length)).toEqual(before);
  expect(JSON.stringify(after)).not.toContain(runId);
});

test('after_seconds: pending until then, and the thread is busy meanwhile', async () => {
  const threadId = await newThread();
  const asked = Date.now();
  const run = await client.runs.create(threadId, 'agent', {
    input: said('later'),
    afterSeconds: 4,
  });
  expect((await client.threads.get(threadId)).status).toBe('busy');
  expect(await statusOf(threadId, run.run_id)).toBe('pending');
  await client.runs.join(threadId, run.run_id);
  expect(await statusOf(threadId, run.run_id)).toBe('success');
  // It says when it was to begin.
  expect(Date.parse(run.created_at)).toBeGreaterThanOrEqual(asked + 4_000);
});

test('wait: the values, as one JSON document, kept alive; where the run is', async () => {
  const answer = await call('POST', '/runs/wait', {
    assistant_id: 'counter',
    input: counting(1, 1_300),
  });
  expect(answer.text).toMatch(/^\n+\{/);
  expect(answer.json()).toMatchObject({ done: ['count', 'last'] });
  expect(answer.headers.get('content-location')).toMatch(/^\/runs\/[0-9a-f-]{36}$/);
});

test('wait: an error is told once encoded, and thrown by the SDK unless asked not to', async () => {
  const answer = await call('POST', '/runs/wait', { assistant_id: 'failing', input: {} });
  expect([answer.status, answer.json()]).toEqual([
    200,
    { __error__: { error: 'NoLuckError', message: 'this graph always fails' } },
  ]);
  await expect(client.runs.wait(null, 'failing', { input: {} })).rejects.toThrow(
    'NoLuckError: this graph always fails',
  );
  const quiet = await client.runs.wait(null, 'failing', { input: {}, raiseError: false });
  expect(quiet).toHaveProperty('__error__');
});

test('wait and join answer an object for a run without values', async () => {
  const threadId = await newThread();
  const run = await client.runs.create(threadId, 'agent', { input: {}, afterSeconds: 3_600 });
  const joined = client.runs.join(threadId, run.run_id);
  await client.runs.cancel(threadId, run.run_id);
  expect(await joined).toEqual({});
});

test('stateless runs: the thread goes with the run, or is kept', async () => {
  const created = await call('POST', '/runs', { assistant_id: 'agent', input: said('hi') });
  const run = created.json<{ run_id: string; thread_id: string; kwargs: { temporary: boolean } }>();
  expect(created.headers.get('content-location')).toBe(`/runs/${run.run_id}`);
  expect(run.kwargs.temporary).toBe(true);
  expect(await client.threads.search({ ids: [run.thread_id] })).toEqual([]);
  const kept = await call('POST', '/runs', {
    assistant_id: 'agent',
    input: said('hi'),
    on_completion: 'keep',
  });
  const { thread_id: threadId, run_id: runId } = kept.json<{ thread_id: string; run_id: string }>();
  await client.runs.join(threadId, runId);
  expect(await client.threads.search({ ids: [threadId] })).toHaveLength(1);
});

test('a batch: all of them, as the SDK writes them and as the API does', async () => {
  const runs = await client.runs.createBatch([
    { assistantId: 'agent', input: said('1'), metadata: { n: 1 }, ifNotExists: 'create' },
    { assistantId: 'agent', input: said('2'), metadata: { n: 2 } },
  ]);
  expect(runs.map(({ metadata, status }) => [metadata, status])).toMatchObject([
    [{ n: 1 }, 'pending'],
    [{ n: 2 }, 'pending'],
  ]);
  const snake = await call('POST', '/runs/batch', [
    { assistant_id: 'agent', input: said('3'), on_completion: 'keep' },
  ]);
  expect(snake.json<unknown[]>()).toHaveLength(1);
  expect((await call('POST', '/runs/batch', [])).status).toBe(400);
  const mixed = await call('POST', '/runs/batch', [
    { assistant_id: 'agent' },
    { assistant_id: 'nobody' },
  ]);
  expect(mixed.status).toBe(404);
});

test('list: newest first, in pages, by status, selected fields', async () => {
  const threadId = await newThread();
  const ids: string[] = [];
  for (let n = 0; n < 4; n++)
    ids.unshift(
      (await client.runs.create(threadId, 'agent', { input: {}, afterSeconds: 3_600 })).run_id,
    );
  const listed = async (options: object): Promise<string[]> =>
    (await client.runs.list(threadId, options)).map(({ run_id: id }) => id);
  expect(await listed({})).toEqual(ids);
  expect(await listed({ limit: 2, offset: 2 })).toEqual(ids.slice(2));
  await client.runs.cancel(threadId, ids[1] ?? '');
  expect(await listed({ status: 'interrupted' })).toEqual([ids[1]]);
  const [chosen] = await client.runs.list(threadId, { select: ['run_id', 'status'], limit: 1 });
  expect(chosen).toEqual({ run_id: ids[0], status: 'pending' });
  await client.threads.delete(threadId);
});

test('get and delete: a run that is not there; one that is, with its states', async () => {
  const threadId = await newThread();
  await expect(client.runs.get(threadId, randomUUID())).rejects.toThrow('HTTP 404: Run not found');
  await expect(client.runs.delete(threadId, randomUUID())).rejects.toThrow('HTTP 404');
  await client.runs.wait(threadId, 'steps', { input: {} });
  const [run] = await client.runs.list(threadId);
  const answer = await call('DELETE', `/threads/${threadId}/runs/${run?.run_id ?? ''}`);
  expect([answer.status, answer.text]).toEqual([204, '']);
  expect(await client.runs.list(threadId)).toEqual([]);
  expect(await client.threads.getHistory(threadId)).toEqual([]);
});

test('join: the values, during the run and after it; a client that leaves may stop it', async () => {
  const threadId = await newThread();
  const run = await client.runs.create(threadId, 'counter', { input: counting(2, 50) });
  expect(await client.runs.join(threadId, run.run_id)).toMatchObject({ done: ['count', 'last'] });
  expect(await client.runs.join(threadId, run.run_id)).toMatchObject({ done: ['count', 'last'] });
  const leaving = await runningRun(threadId);
  const leave = new AbortController();
  const path = `/threads/${threadId}/runs/${leaving}/join?cancel_on_disconnect=1`;
  // Its first newline: the server has it.
  const response = await fetch(url + path, { signal: leave.signal });
  expect(response.status).toBe(200);
  leave.abort();
  await waitUntil(async () => (await statusOf(threadId, leaving)) === 'interrupted', SOON);
});

test.each([false, true])(
  'cancel with wait: the run has stopped then, also when its node is deaf (%s)',
  async (deaf) => {
    const threadId = await newThread();
    const runId = await runningRun(threadId, deaf);
    const begun = performance.now();
    const answer = await call('POST', `/threads/${threadId}/runs/${runId}/cancel?wait=1`);
    expect([answer.status, answer.text]).toEqual([204, '']);
    // The deadline of a worker that does not react is 10 s.
    expect(performance.now() - begun).toBeLessThan(9_000);
    expect(await statusOf(threadId, runId)).toBe('interrupted');
    expect((await client.threads.get(threadId)).status).toBe('idle');
    expect((await client.threads.getState(threadId)).next).toEqual(['count']);
  },
);

test('cancel without wait: 202 at once, for wait=0 as well', async () => {
  const threadId = await newThread();
  const runId = await runningRun(threadId, true);
  const path = `/threads/${threadId}/runs/${runId}/cancel`;
  for (const query of ['', '?wait=0', '?wait=false&action=interrupt']) {
    const answer = await call('POST', path + query);
    expect([answer.status, answer.text]).toEqual([202, '']);
  }
  await waitUntil(async () => (await statusOf(threadId, runId)) === 'interrupted', SOON);
  // A run that has ended stays as it is.
  expect((await call('POST', `${path}?wait=1`)).status).toBe(204);
  expect((await call('POST', path)).status).toBe(202);
  const unknown = await call('POST', `/threads/${threadId}/runs/${randomUUID()}/cancel`);
  expect([unknown.status, unknown.text]).toEqual([404, 'Run not found']);
  expect((await call('POST', `${path}?action=stop`)).status).toBe(400);
});

test('cancel of a pending run: interrupted at once, or gone with rollback; the thread is idle', async () => {
  const threadId = await newThread();
  const later = { input: {}, afterSeconds: 3_600 };
  const first = await client.runs.create(threadId, 'agent', later);
  await client.runs.cancel(threadId, first.run_id);
  expect(await statusOf(threadId, first.run_id)).toBe('interrupted');
  expect((await client.threads.get(threadId)).status).toBe('idle');
  const second = await client.runs.create(threadId, 'agent', later);
  await client.runs.cancel(threadId, second.run_id, false, 'rollback');
  await expect(client.runs.get(threadId, second.run_id)).rejects.toThrow('HTTP 404');
  expect((await client.threads.get(threadId)).status).toBe('idle');
});

test('cancel with rollback of a running run: neither the run nor its states are left', async () => {
  const threadId = await ranThread('counter', counting(0, 0));
  const before = await client.threads.getHistory(threadId);
  const runId = await runningRun(threadId);
  await client.runs.cancel(threadId, runId, true, 'rollback');
  await expect(client.runs.get(threadId, runId)).rejects.toThrow('HTTP 404: Run not found');
  expect(await client.threads.getHistory(threadId)).toEqual(before);
});

test('several are cancelled at once: by their ids', async () => {
  const threadId = await newThread();
  const later = { input: {}, afterSeconds: 3_600 };
  const runs = [
    await client.runs.create(threadId, 'agent', later),
    await client.runs.create(threadId, 'agent', later),
    await client.runs.create(threadId, 'agent', later),
  ];
  const [first = '', second = '', third = ''] = runs.map(({ run_id: id }) => id);
  await client.runs.cancelMany({ threadId, runIds: [first, second] });
  expect(await Promise.all([first, second, third].map((id) => statusOf(threadId, id)))).toEqual([
    'interrupted',
    'interrupted',
    'pending',
  ]);
  const unknown = await call('POST', '/runs/cancel', {
    thread_id: threadId,
    run_ids: [randomUUID()],
  });
  expect(unknown.status).toBe(404);
  const gone = await call('POST', '/runs/cancel?action=rollback', {
    thread_id: threadId,
    run_ids: [third],
  });
  expect([gone.status, gone.text]).toEqual([204, '']);
  await expect(client.runs.get(threadId, third)).rejects.toThrow('HTTP 404');
});

test('on_disconnect: a client that leaves a stream stops its run when it said so, and not otherwise', async () => {
  const leave = async (onDisconnect: string, steps: number): Promise<[string, string]> => {
    const threadId = await newThread();
    const stream = await openStream(`/threads/${threadId}/runs/stream`, {
      assistant_id: 'counter',
      input: counting(steps, 100),
      stream_mode: 'custom',
      on_disconnect: onDisconnect,
    });
    await waitUntil(() => stream.frames.length >= 2, SOON);
    stream.close();
    const [run] = await client.runs.list(threadId);
    return [threadId, run?.run_id ?? ''];
  };
  // Longer than it takes to be stopped, whatever the machine does.
  const stopped = await leave('cancel', 600);
  const goesOn = await leave('continue', 30);
  await waitUntil(async () => (await statusOf(...stopped)) === 'interrupted', SOON);
  await waitUntil(async () => (await statusOf(...goesOn)) === 'success', SOON);
});

test('a webhook is told the end, with values or with the error', async () => {
  const threadId = await newThread();
  await client.runs.wait(threadId, 'agent', { input: said('hi'), webhook: `${receiver.url}/ok` });
  const told = await waitUntil(() => receiver.of('/ok')[0], SOON);
  expect(told.body).toMatchObject({
    thread_id: threadId,
    status: 'success',
    run_started_at: expect.any(String) as string,
    run_ended_at: expect.any(String) as string,
    webhook_sent_at: expect.any(String) as string,
    values: { messages: [{ type: 'human', content: 'hi' }, { type: 'ai' }] },
  });
  await client.runs.wait(null, 'failing', {
    input: {},
    webhook: `${receiver.url}/bad`,
    raiseError: false,
  });
  const bad = await waitUntil(() => receiver.of('/bad')[0], SOON);
  expect(bad.body).toMatchObject({ status: 'error', error: 'this graph always fails' });
  expect(bad.body).not.toHaveProperty('values');
});

test('deliveries of webhooks are listed, and sent again', async () => {
  const run = await call('POST', '/runs/wait', {
    assistant_id: 'agent',
    input: said('hi'),
    webhook: `${receiver.url}/again`,
  });
  const runId = run.headers.get('content-location')?.split('/').at(-1) ?? '';
  const delivery = await waitUntil(async () => {
    const list = await call('GET', `/webhooks/deliveries?run_id=${runId}`);
    const [one] = list.json<{ delivery_id: string; status: string }[]>();
    return one?.status === 'delivered' ? one : undefined;
  }, SOON);
  const again = await call('POST', `/webhooks/deliveries/${delivery.delivery_id}/replay`);
  expect(again.status).toBe(200);
  await waitUntil(() => receiver.of('/again').length === 2, SOON);
});

test('feedback_keys: the last event of the run has a URL for each; LangSmith may fail', async () => {
  const parts = await collect(
    client.runs.stream(null, 'agent', { input: said('hi'), feedbackKeys: ['good', 'useful'] }),
  );
  const { run_id: runId } = parts[0]?.data as { run_id: string };
  expect(parts.at(-1)).toMatchObject({
    event: 'feedback',
    data: { good: `http://feedback/${runId}/good`, useful: `http://feedback/${runId}/useful` },
  });
  const without = await collect(
    client.runs.stream(null, 'agent', { input: said('hi'), feedbackKeys: ['broken'] }),
  );
  expect(without.map(({ event }) => event)).toEqual(['metadata', 'values', 'values']);
});

test('langsmith_tracer: the run is traced to the project it names', async () => {
  const projectName = `project-${randomUUID()}`;
  const exampleId = randomUUID();
  const values = await client.runs.wait(null, 'agent', {
    input: said('hi'),
    _langsmithTracer: { projectName, exampleId } as never,
  });
  expect(values).toHaveProperty('messages');
  const [sent] = await waitUntil(async () => {
    const response = await fetch(`${langSmithUrl}/sent?of=${projectName}`);
    const list = (await response.json()) as { path: string; key: string; text: string }[];
    return list.length > 0 ? list : undefined;
  }, SOON);
  expect(sent).toMatchObject({ path: '/runs/batch', key: 'key-of-the-tests' });
  expect(sent?.text).toContain(exampleId);
});

test.each(['sync', 'async', 'exit'] as const)('durability %s is honoured', async (durability) => {
  const threadId = await newThread();
  await client.runs.wait(threadId, 'steps', { input: {}, durability });
  const history = await client.threads.getHistory(threadId);
  expect(history).toHaveLength(durability === 'exit' ? 1 : 5);
  const [run] = await client.runs.list(threadId);
  expect(run).toMatchObject({ kwargs: { durability } });
});

test('Idempotency-Key: the same request is one run, another body is refused', async () => {
  const key = { 'idempotency-key': randomUUID() };
  const threadId = await newThread();
  const body = { assistant_id: 'agent', input: said('once') };
  const runs = await Promise.all(
    [1, 2, 3, 4].map(() => call('POST', `/threads/${threadId}/runs`, body, key)),
  );
  expect(new Set(runs.map(({ text }) => text)).size).toBe(1);
  expect(await client.runs.list(threadId)).toHaveLength(1);
  const other = await call('POST', `/threads/${threadId}/runs`, { ...body, input: {} }, key);
  expect(other.status).toBe(422);
});

test('the status of the thread follows its runs, and a new run is taken from every one', async () => {
  const threadId = await newThread();
  const status = async (): Promise<string> => (await client.threads.get(threadId)).status;
  await client.runs.wait(threadId, 'failing', { input: {}, raiseError: false });
  expect(await status()).toBe('error');
  await client.runs.wait(threadId, 'interrupt', { input: { item: 'tea' } });
  expect(await status()).toBe('interrupted');
  const [first, second] = [
    await client.runs.create(threadId, 'agent', { input: said('1') }),
    await client.runs.create(threadId, 'agent', { input: said('2'), afterSeconds: 3_600 }),
  ];
  await client.runs.join(threadId, first.run_id);
  expect(await status()).toBe('busy');
  await client.runs.cancel(threadId, second.run_id);
  expect(await status()).toBe('idle');
});
