/** Conventions of the API (HTTP.md, 2) and what belongs to no noun (3.6). */
import { randomUUID } from 'node:crypto';
import { call, client, openStream, said } from '../../support/api.ts';

test('ok, info, health, metrics and the document', async () => {
  expect((await call('GET', '/ok')).json()).toEqual({ ok: true });
  expect((await call('GET', '/ok?check_db=1')).json()).toEqual({ ok: true });
  expect((await call('GET', '/info')).json()).toMatchObject({
    version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
    langgraph_js_version: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
    context: 'js',
    flags: { assistants: true, crons: true, langsmith: true, langsmith_tracing_replicas: true },
  });
  expect((await call('GET', '/health')).json()).toMatchObject({ status: 'healthy' });
  const metrics = await call('GET', '/metrics');
  expect(metrics.headers.get('content-type')).toMatch(/^text\/plain/);
  expect(metrics.text).toMatch(/^# HELP /m);
  expect((await call('GET', '/metrics?format=json')).json()).toEqual(expect.any(Array));
  expect((await call('GET', '/openapi.json')).json()).toMatchObject({ openapi: '3.1.0' });
  expect((await call('GET', '/docs')).text).toContain('<!doctype html>');
});

test('ready, and how many workers the backlog wants', async () => {
  expect((await call('GET', '/ready')).json()).toMatchObject({ status: 'ready', wrong: [] });
  expect((await call('GET', '/metrics/workers')).json()).toMatchObject({
    workers_wanted: expect.any(Number) as number,
    workers_alive: 2,
  });
});

test('requests go to both servers', async () => {
  const by = new Set<string | null>();
  // Other files' requests are in between, so no strict turns.
  for (let n = 0; n < 20; n++) by.add((await call('GET', '/ok')).headers.get('x-served-by'));
  expect([...by].sort()).toEqual(['0', '1']);
});

test('errors are plain text; a body or query that does not fit is told field by field', async () => {
  const missing = await call('GET', `/assistants/${randomUUID()}`);
  expect([missing.status, missing.text]).toEqual([404, 'Assistant not found']);
  expect(missing.headers.get('content-type')).toMatch(/^text\/plain/);
  const nowhere = await call('GET', '/no/such/route');
  expect([nowhere.status, nowhere.text]).toEqual([404, '404 Not Found']);
  const malformed = await call('POST', '/threads', '{"a":');
  expect([malformed.status, malformed.text]).toEqual([400, 'Malformed JSON in request body']);
  const wrong = await call('POST', '/runs/wait', { assistant_id: 7 });
  expect([wrong.status, wrong.json()]).toMatchObject([
    400,
    { success: false, error: { name: 'ZodError', issues: [{ path: ['assistant_id'] }] } },
  ]);
  const unknown = await call('POST', '/runs/wait', { assistant_id: 'agent', stream_modes: [] });
  expect(unknown.status).toBe(400);
  expect(unknown.text).toContain('stream_modes');
});

test('text/plain is JSON as well; ids are of version 7, dates ISO with milliseconds', async () => {
  const answer = await call('POST', '/threads', '{"metadata":{"plain":1}}', {
    'content-type': 'text/plain;charset=UTF-8',
  });
  const thread = answer.json<Record<string, string>>();
  expect(thread['metadata']).toEqual({ plain: 1 });
  expect(thread['thread_id']).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/);
  expect(thread['created_at']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

test('browsers of any origin may call, and read where their run is', async () => {
  const preflight = await call('OPTIONS', '/threads', undefined, {
    origin: 'https://somewhere.example',
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'content-type,x-mine',
  });
  expect([preflight.status, preflight.text]).toEqual([204, '']);
  const get = (name: string): string | null => preflight.headers.get(name);
  expect(get('access-control-allow-origin')).toBe('*');
  expect(get('access-control-allow-methods')).toBe('GET,HEAD,PUT,POST,DELETE,PATCH');
  expect(get('access-control-allow-headers')).toBe('content-type,x-mine');
  expect(get('access-control-expose-headers')?.split(',')).toEqual(
    expect.arrayContaining([
      'content-location',
      'location',
      'x-pagination-total',
      'x-pagination-next',
    ]),
  );
});

test('no success but 202 and 204 is without a body', async () => {
  const thread = await client.threads.create();
  const path = `/threads/${thread.thread_id}`;
  for (const [method, where, body] of [
    ['GET', path, undefined],
    ['POST', `${path}/history`, {}],
    ['GET', `${path}/runs`, undefined],
    ['POST', '/store/namespaces', {}],
    ['GET', '/store/items?namespace=no&key=no', undefined],
  ] as const) {
    const answer = await call(method, where, body);
    expect([answer.status, answer.text.length > 0]).toEqual([200, true]);
  }
  const deleted = await call('DELETE', path);
  expect([deleted.status, deleted.text]).toEqual([204, '']);
});

test('messages are flat wherever they come', async () => {
  const threadId = (await client.threads.create()).thread_id;
  const stream = await call('POST', `/threads/${threadId}/runs/stream`, {
    assistant_id: 'agent',
    input: said('hi'),
    stream_mode: ['values', 'updates', 'debug', 'tasks', 'checkpoints', 'messages', 'events'],
  });
  const places = [
    stream.text,
    (await call('GET', `/threads/${threadId}`)).text,
    (await call('GET', `/threads/${threadId}/state`)).text,
    (await call('GET', `/threads/${threadId}/history`)).text,
    (await call('POST', '/threads/search', { ids: [threadId] })).text,
    (await call('GET', `/threads/${threadId}/runs`)).text,
  ];
  for (const text of places) {
    expect(text).not.toContain('"lc":1');
    expect(text).toContain('hi');
  }
  const [{ values } = { values: {} }] = await client.threads.search({ ids: [threadId] });
  expect(values).toMatchObject({
    messages: [
      { type: 'human', content: 'hi', additional_kwargs: {}, response_metadata: {} },
      { type: 'ai', tool_calls: [], invalid_tool_calls: [] },
    ],
  });
});

test('truncate: for development and tests, only what is named, other keys ignored', async () => {
  // Of a shared deployment nothing is named here: test/integration/server/truncate.test.ts does.
  const answer = await call('POST', '/internal/truncate', { unknown: true, store: false });
  expect([answer.status, answer.json()]).toEqual([200, { ok: true }]);
});

test('user interfaces that are not there are said to be', async () => {
  const bundle = await call('GET', '/ui/agent/entrypoint.js');
  expect(bundle.status).toBe(404);
  expect((await call('POST', '/ui/agent', { name: 'x' })).status).toBe(404);
});

test('a stream that cannot begin is an HTTP error', async () => {
  const stream = await openStream('/runs/stream', { assistant_id: 'nobody' });
  expect(stream.status).toBe(404);
  expect(stream.headers.get('content-type')).toMatch(/^text\/plain/);
});
