import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';

interface Run {
  run_id: string;
  thread_id: string;
  assistant_id: string;
  metadata: Record<string, unknown>;
  kwargs: {
    input: unknown;
    context: unknown;
    config: { configurable: Record<string, unknown>; metadata: unknown; tags?: string[] };
    stream_mode: string[];
  };
}

describe('what a run executes', () => {
  let app: TestServer;
  beforeAll(async () => {
    app = await startTestServer({ redis: false, worker: false });
  });
  afterAll(() => app.stop());

  const create = async (
    path: string,
    body: object,
    headers?: Record<string, string>,
  ): Promise<Run> => (await app.call('POST', path, body, headers)).json() as Run;
  const newThread = async (metadata: object = {}): Promise<string> =>
    ((await app.call('POST', '/threads', { metadata })).json() as { thread_id: string }).thread_id;

  test('an assistant that another server has changed or removed since is looked up again', async () => {
    const { assistant_id: assistantId } = (
      await app.call('POST', '/assistants', { graph_id: 'test', context: { who: 'a' } })
    ).json() as { assistant_id: string };
    const body = { assistant_id: assistantId, input: {} };
    const changed = (who: string): Promise<unknown> =>
      app.core.pool.query('UPDATE assistants SET context = $2 WHERE assistant_id = $1', [
        assistantId,
        { who },
      ]);
    // The first look, then from memory: with the key in a transaction.
    for (const who of ['a', 'a'])
      expect((await create('/runs', body)).kwargs.context).toEqual({ who });
    await changed('b');
    for (const who of ['b', 'b'])
      expect((await create('/runs', body)).kwargs.context).toEqual({ who });
    await changed('c');
    const keyed = await create('/runs', body, { 'idempotency-key': `k-${assistantId}` });
    expect(keyed.kwargs.context).toEqual({ who: 'c' });
    expect((await create('/runs', body, { 'idempotency-key': `k-${assistantId}` })).run_id).toBe(
      keyed.run_id,
    );
    // On a thread that stays the row is read each time.
    await changed('kept');
    expect((await create('/runs', { ...body, on_completion: 'keep' })).kwargs.context).toEqual({
      who: 'kept',
    });
    await changed('d');
    const batch = (
      await app.call('POST', '/runs/batch', [body, { ...body, metadata: { x: 1 } }])
    ).json() as Run[];
    expect(batch.map((run) => run.kwargs.context)).toEqual([{ who: 'd' }, { who: 'd' }]);
    await app.core.pool.query('DELETE FROM runs WHERE assistant_id = $1', [assistantId]);
    await app.core.pool.query('DELETE FROM assistants WHERE assistant_id = $1', [assistantId]);
    for (const more of [{ on_completion: 'keep' }, {}])
      expect((await app.call('POST', '/runs', { ...body, ...more })).status).toBe(404);
  });

  test('is merged from assistant, thread and request, and the thread remembers it', async () => {
    const assistant = (
      await app.call('POST', '/assistants', {
        graph_id: 'test',
        config: {
          tags: ['a'],
          recursion_limit: 7,
          configurable: { one: 'a', two: 'a', three: 'a' },
        },
        context: { who: 'a', where: 'a' },
        metadata: { x: 'a', y: 'a' },
      })
    ).json() as { assistant_id: string };
    const threadId = await newThread({ y: 't', z: 't' });
    await create(`/threads/${threadId}/runs`, {
      assistant_id: assistant.assistant_id,
      config: { configurable: { two: 'r1' } },
    });
    const run = await create(`/threads/${threadId}/runs`, {
      assistant_id: assistant.assistant_id,
      config: { configurable: { three: 'r2', checkpoint_id: 'c' } },
      context: { where: 'r' },
      metadata: { z: 'r' },
    });
    expect(run.metadata).toMatchObject({ x: 'a', y: 't', z: 'r' });
    expect(run.kwargs.context).toEqual({ who: 'a', where: 'r' });
    expect(run.kwargs.config).toMatchObject({
      tags: ['a'],
      recursion_limit: 7,
      metadata: run.metadata,
    });
    expect(run.kwargs.config.configurable).toMatchObject({
      one: 'a',
      two: 'r1',
      three: 'r2',
      checkpoint_id: 'c',
      run_id: run.run_id,
      thread_id: threadId,
      graph_id: 'test',
      assistant_id: assistant.assistant_id,
    });
    expect(run.kwargs.stream_mode).toEqual(['values']);
    const thread = (await app.call('GET', `/threads/${threadId}`)).json();
    expect(thread).toMatchObject({
      status: 'busy',
      metadata: { y: 't', z: 't', graph_id: 'test', assistant_id: assistant.assistant_id },
    });
    expect((thread as { config: unknown }).config).toEqual({
      tags: ['a'],
      recursion_limit: 7,
      configurable: { one: 'a', two: 'r1', three: 'r2' },
    });
  });

  test('has the x-headers of its request, but no credentials of the server', async () => {
    const run = await create(
      '/runs',
      { assistant_id: 'test' },
      { 'X-Tone': 'dry', 'x-api-key': 'secret', 'x-service-key': 's', 'user-agent': 'me' },
    );
    const { configurable } = run.kwargs.config;
    expect(configurable).toMatchObject({ 'x-tone': 'dry', 'user-agent': 'me' });
    expect(JSON.stringify(run)).not.toContain('secret');
    expect(configurable).not.toHaveProperty('x-service-key');
  });

  test('keeps any input: \\u0000, lone surrogates, keys of Object.prototype', async () => {
    const text =
      '{"assistant_id":"test","input":{"__proto__":{"admin":true},"constructor":1,"t":"\\u0000\\ud800"},"config":{"configurable":{"__proto__":{"admin":true}}}}';
    const answer = await app.call('POST', '/runs', text);
    expect(answer.status).toBe(200);
    expect(answer.text).toContain('"input":{"__proto__":{"admin":true},"constructor":1,');
    expect((answer.json() as Run).kwargs.input).toMatchObject({ t: '\u0000\ud800' });
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  test('text/plain is JSON as well', async () => {
    const answer = await app.call('POST', '/threads', '{"metadata":{"a":1}}', {
      'content-type': 'text/plain;charset=UTF-8',
    });
    expect(answer.json()).toMatchObject({ metadata: { a: 1 } });
  });

  test('a batch may be in camelCase', async () => {
    const answer = await app.call('POST', '/runs/batch', [
      { assistantId: 'test', assistant_id: 'test', streamMode: 'custom', onCompletion: 'keep' },
      { assistant_id: 'test' },
    ]);
    const runs = answer.json() as Run[];
    expect(runs.map((run) => run.kwargs.stream_mode)).toEqual([['custom'], ['values']]);
  });

  test('what only LangSmith can do is refused without it', async () => {
    const ask = async (body: object): Promise<[number, string]> => {
      const answer = await app.call('POST', '/runs', { assistant_id: 'test', ...body });
      return [answer.status, answer.text];
    };
    const text = (field: string): string =>
      `${field}: expected none, because this server has no LangSmith (LANGSMITH_API_KEY)`;
    expect(await ask({ feedback_keys: ['good'] })).toEqual([400, text('feedback_keys')]);
    const tracer = { project_name: 'mine', example_id: null };
    expect(await ask({ langsmith_tracer: tracer })).toEqual([400, text('langsmith_tracer')]);
    // Nothing is asked for.
    expect((await ask({ feedback_keys: [], langsmith_tracer: null }))[0]).toBe(200);
    const batch = [{ assistant_id: 'test' }, { assistant_id: 'test', feedback_keys: ['good'] }];
    expect((await app.call('POST', '/runs/batch', batch)).status).toBe(400);
    const command = await app.call(
      'POST',
      '/threads/00000000-0000-4000-8000-0000000000ac/commands',
      {
        id: 1,
        method: 'run.start',
        params: { assistant_id: 'test', langsmith_tracer: tracer },
      },
    );
    expect(command.json()).toMatchObject({
      error: 'invalid_argument',
      message: text('langsmith_tracer'),
    });
  });

  test('if_not_exists makes the thread, reject refuses a second run', async () => {
    const threadId = '00000000-0000-0000-0000-0000000000AB';
    const first = await app.call('POST', `/threads/${threadId}/runs`, {
      assistant_id: 'test',
      if_not_exists: 'create',
    });
    expect(first.status).toBe(200);
    expect(first.headers.get('content-location')).toBe(
      `/threads/${threadId.toLowerCase()}/runs/${(first.json() as Run).run_id}`,
    );
    const second = await app.call('POST', `/threads/${threadId}/runs`, {
      assistant_id: 'test',
      multitask_strategy: 'reject',
    });
    expect([second.status, second.text]).toEqual([
      409,
      'Thread is already running a task. Wait for it to finish or choose a different multitask strategy.',
    ]);
    const listed = (await app.call('GET', `/threads/${threadId}/runs`)).json() as Run[];
    expect(listed).toHaveLength(1);
  });
});
