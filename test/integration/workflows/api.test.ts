/** /workflows as a client uses it. */
import { Workflow, WorkflowExecution } from '../../../src/server/openapi/views.ts';
import type { ExecutionView } from '../../../src/workflows/execution.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';
import {
  ai,
  chain,
  createWorkflow,
  example,
  executeWorkflow,
  runDocument,
  studentAndTeacher,
} from '../../support/workflows.ts';

type Json = Record<string, unknown>;
const UNKNOWN = '00000000-0000-7000-8000-000000000000';
const greeting = (text: string): Json =>
  chain([{ id: 'greet', type: 'transformer', config: { output: `${text} {{name}}` } }], {
    variables: ['name'],
  });

let app: TestServer;
beforeAll(async () => {
  app = await startTestServer({ redis: false });
});
afterAll(() => app.stop());

test('a document is given back as it came, listed, replaced and deleted', async () => {
  const document = greeting('Hi');
  const id = await createWorkflow(app.call, document);
  const created = (await app.call('GET', `/workflows/${id}`)).json() as Json;
  expect(created).toMatchObject({ ...document, workflow_id: id, version: 1 });
  Workflow.parse(created);

  const replaced = await app.call('PUT', `/workflows/${id}`, greeting('Hello'));
  expect(replaced.json()).toMatchObject({ workflow_id: id, version: 2 });
  const list = await app.call('GET', '/workflows?limit=1000');
  expect((list.json() as Json[]).map((row) => row['workflow_id'])).toContain(id);
  expect(list.headers.get('x-pagination-total')).not.toBeNull();

  expect((await app.call('DELETE', `/workflows/${id}`)).status).toBe(204);
  for (const [method, path] of [
    ['GET', ''],
    ['PUT', ''],
    ['DELETE', ''],
    ['POST', '/execute'],
    ['GET', '/executions'],
  ] as const)
    expect(
      (await app.call(method, `/workflows/${id}${path}`, method === 'PUT' ? document : undefined))
        .status,
    ).toBe(404);
});

test('a document that cannot be executed is refused with the node named, and nothing is stored', async () => {
  const count = async (): Promise<string | null> =>
    (await app.call('GET', '/workflows')).headers.get('x-pagination-total');
  const before = await count();
  const answer = await app.call(
    'POST',
    '/workflows',
    chain([ai('poet', 'Write about {{topic}}', [])]),
  );
  expect(answer.status).toBe(400);
  expect(answer.text).toBe(
    'node "poet": config.prompt: {{topic}}: there is no variable "topic" and no node "topic" before this one',
  );
  expect(await count()).toBe(before);
  expect((await app.call('POST', '/workflows', [])).status).toBe(400);
  expect((await app.call('POST', '/workflows')).status).toBe(400);
});

test('an execution without a variable that it needs is refused with the node named', async () => {
  const id = await createWorkflow(app.call, greeting('Hi'));
  const missing = await app.call('POST', `/workflows/${id}/execute`, { inputs: {} });
  expect(missing.status).toBe(400);
  expect(missing.text).toBe('inputs.name: missing, needed by node "greet"');
  const unknown = await app.call('POST', `/workflows/${id}/execute`, {
    inputs: { name: 'x', nmae: 'y' },
  });
  expect(unknown.text).toBe('inputs.nmae: the workflow has no such variable');
  expect((await app.call('POST', `/workflows/${id}/execute`, { input: {} })).status).toBe(400);
  expect((await app.call('GET', `/workflows/${id}/executions`)).json()).toEqual([]);
});

test('a synchronous execution answers with its end, an asynchronous one at once', async () => {
  const id = await createWorkflow(app.call, greeting('Hi'));
  const waited = await executeWorkflow(app.call, id, { inputs: { name: 'Ada' } });
  expect(waited).toMatchObject({ status: 'success', output: 'Hi Ada', workflow_version: 1 });
  WorkflowExecution.parse(waited);

  const answer = await app.call('POST', `/workflows/${id}/execute`, {
    inputs: { name: 'Bo' },
    async_execution: true,
  });
  expect(answer.status).toBe(202);
  const { execution_id: executionId } = answer.json() as ExecutionView;
  const read = async (): Promise<ExecutionView> =>
    (await app.call('GET', `/workflows/${id}/executions/${executionId}`)).json() as ExecutionView;
  await waitUntil(async () => (await read()).status === 'success', { timeoutMs: 20_000 });
  expect(await read()).toMatchObject({ output: 'Hi Bo' });

  const list = (await app.call('GET', `/workflows/${id}/executions`)).json() as ExecutionView[];
  expect(list.map((row) => row.execution_id)).toEqual([executionId, waited.execution_id]);
  const failed = await app.call('GET', `/workflows/${id}/executions?status=error`);
  expect(failed.json()).toEqual([]);
  expect((await app.call('GET', `/workflows/${UNKNOWN}/executions/${executionId}`)).status).toBe(
    404,
  );
  expect((await app.call('GET', `/workflows/executions/${UNKNOWN}`)).status).toBe(404);
});

test('an execution keeps the version it began with', async () => {
  const id = await createWorkflow(
    app.call,
    chain([
      { id: 'wait', type: 'delay', config: { seconds: 0.5 } },
      { id: 'say', type: 'transformer', config: { output: 'old' } },
    ]),
  );
  const { execution_id: executionId } = await executeWorkflow(app.call, id, {
    async_execution: true,
  });
  await app.call(
    'PUT',
    `/workflows/${id}`,
    chain([{ id: 'say', type: 'transformer', config: { output: 'new' } }]),
  );
  await app.call('DELETE', `/workflows/${id}`);
  const read = async (): Promise<ExecutionView> =>
    (await app.call('GET', `/workflows/executions/${executionId}`)).json() as ExecutionView;
  await waitUntil(async () => (await read()).status === 'success', { timeoutMs: 20_000 });
  expect(await read()).toMatchObject({ output: 'old', workflow_version: 1 });
});

test('the same Idempotency-Key executes once', async () => {
  const id = await createWorkflow(app.call, greeting('Hi'));
  const body = { inputs: { name: 'Ada' } };
  const ids = await Promise.all(
    [1, 2, 3].map(async () => {
      const answer = await app.call('POST', `/workflows/${id}/execute`, body, {
        'idempotency-key': 'once',
      });
      return (answer.json() as ExecutionView).execution_id;
    }),
  );
  expect(new Set(ids).size).toBe(1);
  expect((await app.call('GET', `/workflows/${id}/executions`)).json()).toHaveLength(1);
});

test('an execution is a run: state, history and cancel are the run API', async () => {
  const id = await createWorkflow(
    app.call,
    chain([
      { id: 'done', type: 'transformer', config: { output: 'so far' } },
      { id: 'wait', type: 'delay', config: { seconds: 600 } },
    ]),
  );
  const { execution_id: run, thread_id: thread } = await executeWorkflow(app.call, id, {
    async_execution: true,
  });
  const read = async (): Promise<ExecutionView> =>
    (await app.call('GET', `/workflows/executions/${run}`)).json() as ExecutionView;
  await waitUntil(async () => (await read()).outputs['done'] !== undefined, { timeoutMs: 20_000 });
  await app.call('POST', `/threads/${thread}/runs/${run}/cancel?wait=1`);
  expect(await read()).toMatchObject({ status: 'interrupted', outputs: { done: 'so far' } });
  const state = (await app.call('GET', `/threads/${thread}/state`)).json() as Json;
  expect(state).toMatchObject({ values: { outputs: { done: 'so far' } }, next: ['wait'] });
  expect((await app.call('GET', `/threads/${thread}/history`)).json()).not.toEqual([]);
});

test('a question ends with the run that asks it', async () => {
  const slow = studentAndTeacher('simple', { answer: { reply: 'a b c', delay_ms: 10_000 } });
  const id = await createWorkflow(app.call, slow);
  const { execution_id: run, thread_id: thread } = await executeWorkflow(app.call, id, {
    async_execution: true,
  });
  const asked = async (): Promise<boolean> => {
    const { rows } = await app.core.pool.query(
      `SELECT 1 FROM events WHERE thread_id = $1 AND data LIKE '%"QUERY"%'`,
      [thread],
    );
    return rows.length > 0;
  };
  await waitUntil(asked, { timeoutMs: 20_000 });
  const started = Date.now();
  await app.call('POST', `/threads/${thread}/runs/${run}/cancel?wait=1`);
  expect(Date.now() - started).toBeLessThan(9_000);
});

test('an answer that does not come is an error that names who did not answer', async () => {
  const execution = await runDocument(
    app.call,
    studentAndTeacher('simple', {
      answer: { reply: 'a b c', delay_ms: 5_000 },
      student: { ask_timeout_seconds: 0.2 },
    }),
  );
  expect(execution).toMatchObject({
    status: 'error',
    error: {
      error: 'NodeFailedError',
      message: 'node "student" (ai-processor): teacher did not answer student within 0.2 s',
    },
  });
});

test('pubsub without Redis falls back to simple, and the execution says so', async () => {
  const execution = await runDocument(app.call, example('04_pubsub_collaborative_qa.json'));
  expect(execution).toMatchObject({
    status: 'success',
    communication: {
      requested: 'pubsub',
      used: 'simple',
      warning: expect.stringContaining('falling back to simple') as string,
    },
  });
});

test('nobody makes an execution but through its workflow', async () => {
  const answer = await app.call('POST', '/runs', { assistant_id: '__workflow__', input: {} });
  expect(answer.status).toBe(404);
  const graphs = await app.call('POST', '/assistants/search', { limit: 100 });
  expect(graphs.text).not.toContain('__workflow__');
});
