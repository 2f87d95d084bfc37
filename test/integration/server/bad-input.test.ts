import { randomBytes, randomUUID } from 'node:crypto';
import { startTestServer } from '../../support/server.ts';
import type { Answer, TestServer } from '../../support/server.ts';

const MISSING = randomUUID();
const BODY_BYTES_MAX = 20_000;
const run = (more: object): object => ({ assistant_id: 'test', ...more });
/** Text that Postgres cannot make smaller. */
const dense = (length: number): string => randomBytes(length).toString('base64').slice(0, length);
/** An index row takes some 2,700 bytes. */
const UNINDEXABLE = { workflow_id: dense(5_000) };
const fieldsOf = (answer: Answer): string[] =>
  (answer.json() as { error: { issues: { path: string[] }[] } }).error.issues.map(({ path }) =>
    path.join('.'),
  );
const TOO_LONG = 'A text is too long to be indexed';
const item = (more: object): object => ({ namespace: ['n'], key: 'k', value: {}, ...more });

describe('a request that cannot be served is answered with what is wrong, and does nothing', () => {
  let app: TestServer;
  let threadId: string;
  beforeAll(async () => {
    app = await startTestServer({
      redis: false,
      worker: false,
      environment: { BODY_BYTES_MAX: String(BODY_BYTES_MAX) },
    });
    const created = await app.call('POST', '/threads', {});
    threadId = (created.json() as { thread_id: string }).thread_id;
  });
  afterAll(() => app.stop());
  afterEach(async () => {
    const { rows } = await app.core.pool.query(
      'SELECT (SELECT count(*) FROM runs) AS runs, (SELECT count(*) FROM threads) AS threads',
    );
    expect(rows).toEqual([{ runs: 0, threads: 1 }]);
  });

  const texts: [string, string, string, unknown, number, string][] = [
    ['unknown route', 'GET', '/nothing', undefined, 404, '404 Not Found'],
    [
      'unknown thread',
      'GET',
      `/threads/${MISSING}`,
      undefined,
      404,
      `Thread with ID ${MISSING} not found`,
    ],
    [
      'thread to delete',
      'DELETE',
      `/threads/${MISSING}`,
      undefined,
      404,
      `Thread with ID ${MISSING} not found`,
    ],
    [
      'thread of a state',
      'GET',
      `/threads/${MISSING}/state`,
      undefined,
      404,
      `Thread with ID ${MISSING} not found`,
    ],
    [
      'thread of a run',
      'POST',
      `/threads/${MISSING}/runs`,
      run({}),
      404,
      `Thread with ID ${MISSING} not found`,
    ],
    [
      'thread to stream on',
      'POST',
      `/threads/${MISSING}/runs/stream`,
      run({}),
      404,
      `Thread with ID ${MISSING} not found`,
    ],
    [
      'thread of runs',
      'GET',
      `/threads/${MISSING}/runs`,
      undefined,
      404,
      `Thread with ID ${MISSING} not found`,
    ],
    ['thread to copy', 'POST', `/threads/${MISSING}/copy`, undefined, 409, 'Thread not found'],
    ['run', 'GET', '/threads/T/runs/' + MISSING, undefined, 404, 'Run not found'],
    ['run to join', 'GET', `/threads/T/runs/${MISSING}/join`, undefined, 404, 'Run not found'],
    ['run to stream', 'GET', `/threads/T/runs/${MISSING}/stream`, undefined, 404, 'Run not found'],
    ['run alone to stream', 'GET', `/runs/${MISSING}/stream`, undefined, 404, 'Run not found'],
    ['run to cancel', 'POST', `/threads/T/runs/${MISSING}/cancel`, undefined, 404, 'Run not found'],
    [
      'run to cancel and wait for',
      'POST',
      `/threads/T/runs/${MISSING}/cancel?wait=1`,
      undefined,
      404,
      'Run not found',
    ],
    ['run to delete', 'DELETE', `/threads/T/runs/${MISSING}`, undefined, 404, 'Run not found'],
    ['assistant', 'GET', '/assistants/nobody', undefined, 404, 'Assistant not found'],
    [
      'assistant of a run',
      'POST',
      '/runs/wait',
      { assistant_id: 'nobody' },
      404,
      'No assistant found for "nobody". Make sure the assistant ID is for a valid assistant or a valid graph ID.',
    ],
    ['no JSON', 'POST', '/threads', '{"metadata": ', 400, 'Malformed JSON in request body'],
    [
      'too large',
      'POST',
      '/runs',
      run({ input: 'x'.repeat(BODY_BYTES_MAX) }),
      413,
      `Request body too large: expected at most ${BODY_BYTES_MAX} bytes (BODY_BYTES_MAX)`,
    ],
    [
      'state of a thread without a graph',
      'POST',
      '/threads/T/state',
      { values: {} },
      400,
      'Thread T has no graph ID',
    ],
    [
      'deep',
      'POST',
      '/runs',
      `{"assistant_id":"test","input":${'['.repeat(9_000)}${']'.repeat(9_000)}}`,
      400,
      'The body is nested too deeply',
    ],
    ['what no index takes', 'POST', '/runs', run({ metadata: UNINDEXABLE }), 400, TOO_LONG],
    [
      'one of many that no index takes',
      'POST',
      '/runs/batch',
      [run({}), run({ metadata: UNINDEXABLE }), run({})],
      400,
      TOO_LONG,
    ],
  ];
  test.each(texts)('text: %s', async (_what, method, path, body, status, text) => {
    const answer = await app.call(method, path.replace('/T/', `/${threadId}/`), body);
    expect([answer.status, answer.text]).toEqual([
      status,
      text.replace('Thread T', `Thread ${threadId}`),
    ]);
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain/);
  });

  const fields: [string, string, unknown, string][] = [
    ['GET', '/threads/not-an-id', undefined, 'thread_id'],
    ['GET', '/threads/T/runs/7', undefined, 'run_id'],
    ['POST', '/runs', {}, 'assistant_id'],
    ['POST', '/runs', run({ multitask_strategy: 'fight' }), 'multitask_strategy'],
    ['POST', '/runs', run({ stream_mode: ['values', 'smoke'] }), 'stream_mode'],
    ['POST', '/runs', run({ after_seconds: -1 }), 'after_seconds'],
    ['POST', '/runs', run({ config: { recursion_limit: 'many' } }), 'config.recursion_limit'],
    ['POST', '/runs', run({ metadata: { a: { b: ['x\u0000'] } } }), 'metadata.a.b.0'],
    ['POST', '/runs', run({ metadata: { a: '\ud800' } }), 'metadata.a'],
    ['POST', '/runs/batch', [], ''],
    ['POST', '/threads', { thread_id: 5 }, 'thread_id'],
    ['POST', '/threads', { metadata: 'x' }, 'metadata'],
    ['POST', '/threads', '"text"', ''],
    ['PATCH', '/threads/T', {}, 'metadata'],
    ['POST', '/threads/search', { limit: 0 }, 'limit'],
    ['POST', '/threads/search', { sort_by: 'drop table' }, 'sort_by'],
    ['GET', '/threads/T/runs?limit=many', undefined, 'limit'],
    ['POST', `/threads/T/runs/${MISSING}/cancel?action=explode`, undefined, 'action'],
    ['POST', '/assistants', { graph_id: 'x', name: 'a\u0000' }, 'name'],
    ['POST', '/assistants/test/latest', { version: 2_147_483_648 }, 'version'],
  ];
  test.each(fields)('schema: %s %s %j names %j', async (method, path, body, field) => {
    const answer = await app.call(method, path.replace('/T', `/${threadId}`), body);
    expect(answer.status).toBe(400);
    expect(answer.json()).toMatchObject({ success: false, error: { name: 'ZodError' } });
    expect(fieldsOf(answer)).toContain(field);
  });

  const places: [string, object, string][] = [
    ['a key', { key: dense(3_000) }, 'key'],
    ['characters of two bytes', { key: 'é'.repeat(1_000) }, 'key'],
    ['a namespace', { namespace: ['a', dense(3_000)] }, 'namespace'],
    ['both together', { namespace: [dense(1_500)], key: dense(1_500) }, 'key'],
  ];
  test.each(places)('a place too long for an item: %s', async (_what, place, field) => {
    const answer = await app.call('PUT', '/store/items', item(place));
    expect([answer.status, fieldsOf(answer)]).toEqual([400, [field]]);
  });

  test('the longest place of an item fits, however it is divided', async () => {
    for (const labels of [1, 2, 100]) {
      const namespace = Array.from({ length: labels }, () => dense(1_900 / 2 / labels));
      const long = item({ namespace, key: dense(1_900 - namespace.join('').length) });
      expect((await app.call('PUT', '/store/items', long)).status).toBe(204);
    }
  });

  test('an unknown field is refused by name', async () => {
    const answer = await app.call('POST', '/runs', run({ stream_modes: 'values' }));
    expect(answer.status).toBe(400);
    expect(answer.text).toContain('stream_modes');
  });
});
