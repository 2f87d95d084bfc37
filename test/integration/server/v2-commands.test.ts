/** Commands of protocol v2 over HTTP: what they do and what they refuse. */
import { newId } from '../../../src/ids.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { command, ended, openEvents, rootStates } from '../../support/v2-client.ts';
import type { Answer, Envelope } from '../../support/v2-client.ts';
import { v2Graph } from '../../support/v2-graph.ts';
import { waitUntil } from '../../support/wait-until.ts';

const HI = { messages: [{ role: 'user', content: 'hi' }] };

let app: TestServer;
beforeAll(async () => {
  app = await startTestServer({ redis: true, graph: v2Graph });
});
afterAll(() => app.stop());

const send = (
  threadId: string,
  method: string,
  params?: unknown,
): Promise<Answer & { status: number }> => command(app.url, threadId, method, params);

/** Starts a run and waits for its end. */
async function run(threadId: string, params: object): Promise<Envelope[]> {
  const stream = await openEvents(app.url, threadId, { channels: ['lifecycle', 'input'] });
  const answer = await send(threadId, 'run.start', { assistant_id: 'test', ...params });
  expect(answer).toMatchObject({ type: 'success' });
  const runId = answer.result?.['run_id'];
  await waitUntil(
    async () => {
      const { status } = (
        await app.call('GET', `/threads/${threadId}/runs/${String(runId)}`)
      ).json() as { status: string };
      return status !== 'pending' && status !== 'running';
    },
    { timeoutMs: 20_000 },
  );
  const all = await ended(stream);
  stream.close();
  return all;
}

test('run.start answers with its run, which the runs API shows', async () => {
  const threadId = newId();
  const answer = await send(threadId, 'run.start', {
    assistant_id: 'test',
    input: HI,
    metadata: { from: 'v2' },
    config: { tags: ['t'], configurable: { color: 'red' } },
    multitaskStrategy: 'enqueue',
  });
  expect(answer).toMatchObject({
    status: 200,
    type: 'success',
    result: { run_id: expect.any(String) as string },
    meta: { thread_id: threadId, applied_through_seq: expect.any(Number) as number },
  });
  const shown = await app.call(
    'GET',
    `/threads/${threadId}/runs/${String(answer.result?.['run_id'])}`,
  );
  expect(shown.json()).toMatchObject({
    metadata: { from: 'v2' },
    multitask_strategy: 'enqueue',
    kwargs: { subgraphs: true, resumable: true, config: { configurable: { color: 'red' } } },
  });
  expect(shown.text).not.toContain('user-agent');
});

test('run.start refuses what it cannot do', async () => {
  const threadId = newId();
  const start = (params: unknown): ReturnType<typeof send> => send(threadId, 'run.start', params);
  expect(await start({})).toMatchObject({ status: 200, error: 'invalid_argument' });
  expect(await start({ assistant_id: 'test', inputs: {} })).toMatchObject({
    error: 'invalid_argument',
  });
  expect(await start({ assistant_id: 'nobody', input: HI })).toMatchObject({ status: 404 });
  expect((await app.call('GET', `/threads/${threadId}`)).status).toBe(404);
  await run(threadId, { input: HI });
  const other = (await app.call('POST', '/assistants', { graph_id: 'test' })).json() as {
    assistant_id: string;
  };
  expect(await start({ assistant_id: other.assistant_id, input: HI })).toMatchObject({
    type: 'error',
    error: 'invalid_argument',
  });
});

test('multitaskStrategy reject is refused while a run is active', async () => {
  const threadId = newId();
  // Until it is stopped: a run that ends by itself may have ended already.
  const input = { ...HI, wait: true };
  const first = await send(threadId, 'run.start', { assistant_id: 'test', input });
  expect(first.type).toBe('success');
  const second = await send(threadId, 'run.start', {
    assistant_id: 'test',
    input: HI,
    multitaskStrategy: 'reject',
  });
  expect(second).toMatchObject({ status: 200, type: 'error', error: 'invalid_argument' });
  await app.call('DELETE', `/threads/${threadId}`);
});

test('run.start with input on a thread that waits for input is the answer', async () => {
  const threadId = newId();
  await run(threadId, { input: { ...HI, ask: true } });
  await run(threadId, { input: { say: 'yes' } });
  const { values } = (await app.call('GET', `/threads/${threadId}/state`)).json() as {
    values: { approved: unknown };
  };
  expect(values.approved).toEqual({ say: 'yes' });
});

test('run.start from an earlier checkpoint goes on from there, and answers nothing', async () => {
  const threadId = newId();
  await run(threadId, { input: { ...HI, ask: true } });
  const history = (await app.call('GET', `/threads/${threadId}/history?limit=50`)).json() as {
    checkpoint: { checkpoint_id: string };
    next: string[];
  }[];
  const fork = history.find(({ next }) => next.includes('__start__'))?.checkpoint.checkpoint_id;
  await run(threadId, {
    input: { messages: [{ role: 'user', content: 'again' }] },
    config: { configurable: { checkpoint_id: fork } },
  });
  const { values, next } = (await app.call('GET', `/threads/${threadId}/state`)).json() as {
    values: { messages: { content: unknown }[]; approved?: unknown };
    next: string[];
  };
  expect(values.messages[0]?.content).toBe('again');
  expect(values.approved).toBeUndefined();
  expect(next).toEqual([]);
});

test('input.respond waits for the run that asks to end, and knows what is asked', async () => {
  const threadId = newId();
  expect(await send(threadId, 'input.respond', { interrupt_id: 'x', response: 1 })).toMatchObject({
    error: 'no_such_run',
  });
  const stream = await openEvents(app.url, threadId, { channels: ['input', 'lifecycle'] });
  await send(threadId, 'run.start', { assistant_id: 'test', input: { ...HI, ask: true } });
  const request = await waitUntil(
    () => stream.events.find(({ method }) => method === 'input.requested'),
    { timeoutMs: 20_000 },
  );
  // At once: the run has asked, and has not ended yet.
  const id = request.params.data['interrupt_id'];
  expect(await send(threadId, 'input.respond', { interrupt_id: 'x', response: 1 })).toMatchObject({
    error: 'no_such_interrupt',
  });
  expect(await send(threadId, 'input.respond', {})).toMatchObject({ error: 'invalid_argument' });
  expect(
    await send(threadId, 'input.respond', {
      responses: [{ interrupt_id: id, response: 'sure' }],
      update: { fail: false },
      metadata: { round: 2 },
    }),
  ).toMatchObject({ type: 'success', result: {} });
  await ended(stream, 2);
  stream.close();
  const { values } = (await app.call('GET', `/threads/${threadId}/state`)).json() as {
    values: object;
  };
  expect(values).toMatchObject({ approved: 'sure', fail: false });
  expect(await send(threadId, 'input.respond', { interrupt_id: id, response: 1 })).toMatchObject({
    error: 'invalid_argument',
  });
});

test('a run that is cancelled ends as interrupted, and the thread takes the next', async () => {
  const threadId = newId();
  const stream = await openEvents(app.url, threadId, { channels: ['lifecycle', 'updates'] });
  const answer = await send(threadId, 'run.start', {
    assistant_id: 'test',
    input: { ...HI, wait: true },
  });
  await waitUntil(() => stream.events.some(({ params }) => params.node === 'agent'), {
    timeoutMs: 20_000,
  });
  const runId = String(answer.result?.['run_id']);
  await app.call('POST', `/threads/${threadId}/runs/${runId}/cancel?wait=1`);
  expect(rootStates(await ended(stream))).toEqual(['running', 'interrupted']);
  await send(threadId, 'run.start', { assistant_id: 'test', input: { ...HI, wait: false } });
  expect(rootStates(await ended(stream, 2)).slice(2)).toEqual(['running', 'completed']);
  stream.close();
});

test('state.get gives the state, some keys of it, or says that there is none', async () => {
  const threadId = newId();
  expect(await send(threadId, 'state.get', { namespace: [] })).toMatchObject({ status: 404 });
  await run(threadId, { input: { ...HI, ask: true } });
  expect(await send(threadId, 'state.get', { namespace: [] })).toMatchObject({
    result: {
      values: { ask: true, messages: [{ content: 'hi' }, { type: 'ai' }] },
      checkpoint: { id: expect.any(String) as string },
    },
  });
  const some = await send(threadId, 'state.get', { namespace: [], keys: ['ask', 'nothing'] });
  expect(some.result?.['values']).toEqual({ ask: true });
  expect(await send(threadId, 'state.get', { namespace: ['nobody:1'] })).toMatchObject({
    error: 'no_such_namespace',
  });
});

test('agent.getTree shows the latest run with its subgraphs', async () => {
  const threadId = newId();
  expect(await send(threadId, 'agent.getTree')).toMatchObject({ error: 'no_such_run' });
  await run(threadId, { input: HI });
  const answer = await send(threadId, 'agent.getTree', {});
  expect(answer.result?.['tree']).toMatchObject({
    namespace: [],
    status: 'completed',
    graph_name: 'test',
    children: [
      {
        namespace: [expect.stringMatching(/^agent:/)],
        status: 'completed',
        graph_name: 'agent',
        children: [{ status: 'completed', graph_name: 'talk' }],
      },
      { graph_name: 'work' },
    ],
  });
});

test('what is no command, or no command of HTTP, is answered so', async () => {
  const threadId = newId();
  for (const method of [
    'state.listCheckpoints',
    'state.fork',
    'input.inject',
    'nonsense',
    'constructor',
  ])
    expect(await send(threadId, method, {})).toMatchObject({
      status: 200,
      type: 'error',
      error: 'unknown_command',
    });
  for (const method of ['subscribe', 'unsubscribe', 'reconnect'])
    expect(await send(threadId, `subscription.${method}`, { channels: ['values'] })).toMatchObject({
      error: 'not_supported',
    });
  const path = `/threads/${threadId}/commands`;
  for (const body of [{}, { id: -1, method: 'run.start' }, { id: 1 }, [], { id: 1.5, method: 'x' }])
    expect((await app.call('POST', path, body)).status).toBe(400);
  expect((await app.call('POST', path, '{"id":')).status).toBe(400);
});
