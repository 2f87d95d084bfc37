/** AI nodes against a server that speaks the OpenAI streaming protocol, and does not always speak it well. */
import type { ServerResponse } from 'node:http';
import {
  breaksOff,
  callsTool,
  chunk,
  refuses,
  says,
  startOpenAi,
} from '../../support/openai-server.ts';
import type { OpenAiServer } from '../../support/openai-server.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { openSseClient } from '../../support/sse-client.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { chain, createWorkflow, executeWorkflow, runDocument } from '../../support/workflows.ts';

const KEY = 'sk-test-1234567890';

let models: OpenAiServer;
let app: TestServer;
beforeAll(async () => {
  models = await startOpenAi();
  app = await startTestServer({
    redis: false,
    environment: {
      OPENAI_BASE_URL: models.url,
      OPENAI_API_KEY: KEY,
      OPENAI_MODEL: 'test-model',
      MODEL_MAX_RETRIES: '2',
      // Nobody but the one that stands still is to be given up.
      MODEL_TIMEOUT_SECS: '10',
    },
  });
});
afterAll(async () => {
  await app.stop();
  await models.stop();
});
beforeEach(() => {
  models.requests.length = 0;
  models.behaviours.length = 0;
});

const node = (id: string, config: Record<string, unknown> = {}): Record<string, unknown> => ({
  id,
  type: 'ai-processor',
  config: { prompt: 'Hello', ...config },
});

test('tokens arrive in the stream as they are produced', async () => {
  let model: ServerResponse | undefined;
  models.behaviours.push((response) => {
    model = response;
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(chunk({ content: 'first ' }));
  });
  const id = await createWorkflow(app.call, chain([node('writer')]));
  const execution = await executeWorkflow(app.call, id, { async_execution: true });
  const stream = await openSseClient(
    `${app.url}/threads/${execution.thread_id}/runs/${execution.execution_id}/stream`,
  );
  const tokens = (): unknown[] =>
    stream.frames
      .filter(({ event }) => event === 'messages')
      .map(({ data }) => (data as [{ content: string; name: string }])[0].content);
  await waitUntil(() => tokens().length === 1, { timeoutMs: 20_000 });
  // The model has not ended: what the client has was streamed.
  expect(tokens()).toEqual(['first ']);
  model?.write(chunk({ content: 'second' }));
  await waitUntil(() => tokens().length === 2, { timeoutMs: 20_000 });
  model?.end(`${chunk({}, 'stop')}data: [DONE]\n\n`);
  await waitUntil(() => stream.over === 'ended', { timeoutMs: 20_000 });
  expect(tokens()).toEqual(['first ', 'second']);
  const { text } = await app.call('GET', `/workflows/executions/${execution.execution_id}`);
  expect(JSON.parse(text)).toMatchObject({
    status: 'success',
    outputs: { writer: 'first second' },
  });
});

test('the request is what the node says', async () => {
  await runDocument(
    app.call,
    chain(
      [
        node('a', {
          system_prompt: 'Be {{mood}}.',
          temperature: 0.5,
          max_tokens: 7,
          model: 'other',
        }),
      ],
      {
        variables: [{ name: 'mood', default: 'kind' }],
      },
    ),
  );
  expect(models.requests[0]?.headers.authorization).toBe(`Bearer ${KEY}`);
  expect(models.requests[0]?.body).toMatchObject({
    model: 'other',
    stream: true,
    temperature: 0.5,
    max_tokens: 7,
    messages: [
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: 'Hello' },
    ],
  });
});

test('429 and 5xx are tried again', async () => {
  models.behaviours.push(
    refuses(429, { 'retry-after-ms': '5' }),
    refuses(503, { 'retry-after-ms': '5' }),
    says('at last'),
  );
  const execution = await runDocument(app.call, chain([node('patient')]));
  expect(execution).toMatchObject({ status: 'success', outputs: { patient: 'at last' } });
  expect(models.requests).toHaveLength(3);
});

test('what is refused too often is an error that names the node, and never the key', async () => {
  const echo = refuses(429, { 'retry-after-ms': '1' }, `slow down, ${KEY}`);
  models.behaviours.push(echo, echo, echo);
  const execution = await runDocument(app.call, chain([node('unlucky')]));
  expect(execution.status).toBe('error');
  expect(execution.error?.message).toMatch(
    /^node "unlucky" \(ai-processor\): model test-model: 429 slow down/,
  );
  expect(models.requests).toHaveLength(3);
  const everything = await app.call(
    'GET',
    `/threads/${execution.thread_id}/runs/${execution.execution_id}/stream`,
  );
  expect(everything.text).toContain('unlucky');
  expect(everything.text).not.toContain(KEY);
});

test('401 is not tried again', async () => {
  models.behaviours.push(refuses(401));
  const execution = await runDocument(app.call, chain([node('stranger')]));
  expect(execution.error?.message).toContain('node "stranger"');
  expect(models.requests).toHaveLength(1);
});

test.each(['destroy', 'end'] as const)(
  'a stream that breaks (%s) is an error that names the node',
  async (how) => {
    models.behaviours.push(breaksOff(how, 'half of '));
    const execution = await runDocument(app.call, chain([node('broken')]));
    expect(execution.status).toBe('error');
    expect(execution.error?.message).toMatch(/^node "broken" \(ai-processor\): model test-model: /);
    expect(models.requests).toHaveLength(1);
  },
);

test('a stream that stands still is an error, too', async () => {
  models.behaviours.push((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(chunk({ content: 'and then' }));
  });
  const execution = await runDocument(app.call, chain([node('sleepy')]));
  expect(execution.error?.message).toMatch(/node "sleepy".*stood still for 10 s/);
});

test('a tool call asks the other node, and its answer is fed back', async () => {
  models.behaviours.push(
    callsTool('ask_node', { target: 'teacher', question: "What's light?" }),
    says('Light is', ' a wave.'),
    says('I see.'),
  );
  const execution = await runDocument(
    app.call,
    chain([node('student')], {}, [node('teacher', { system_prompt: 'You teach.' })]),
  );
  expect(execution).toMatchObject({ status: 'success', outputs: { student: 'I see.' } });
  expect(models.requests.map(({ body }) => body.tools?.map((tool) => tool.function.name))).toEqual([
    ['ask_node', 'broadcast_message', 'set_shared_context', 'get_shared_context'],
    undefined,
    ['ask_node', 'broadcast_message', 'set_shared_context', 'get_shared_context'],
  ]);
  expect(models.requests[1]?.body.messages).toEqual([
    { role: 'system', content: 'You teach.' },
    { role: 'user', content: "What's light?" },
  ]);
  expect(models.requests[2]?.body.messages.slice(1)).toMatchObject([
    { role: 'assistant', tool_calls: [{ id: 'call_x' }] },
    { role: 'tool', tool_call_id: 'call_x', content: 'teacher answered: Light is a wave.' },
  ]);
});

test('a call in the text is carried out and fed back, apostrophes and all', async () => {
  models.behaviours.push(
    says("I wonder. CALL: ask_node('teacher', 'What's ", "Newton's law?')"),
    says('F = ma.'),
    says('Clear.'),
  );
  const execution = await runDocument(
    app.call,
    chain([node('student', { calls: 'text' })], {}, [node('teacher')]),
  );
  expect(execution).toMatchObject({
    status: 'success',
    outputs: { student: 'Clear.' },
    communication_log: [{ text: "What's Newton's law?" }, { text: 'F = ma.' }],
  });
  expect(models.requests[0]?.body.tools).toBeUndefined();
  expect(models.requests[0]?.body.messages[0]?.content).toContain('CALL: ask_node(');
  expect(models.requests[2]?.body.messages.at(-1)).toEqual({
    role: 'user',
    content: 'teacher answered: F = ma.',
  });
});

test('a call that makes no sense is told to the model, which may do better', async () => {
  models.behaviours.push(says("CALL: ask_node('nobody', 'hi')"), says('Never mind.'));
  const execution = await runDocument(app.call, chain([node('lost')], {}, [node('teacher')]));
  expect(execution).toMatchObject({ status: 'success', outputs: { lost: 'Never mind.' } });
  expect(models.requests[1]?.body.messages.at(-1)?.content).toContain(
    'there is no node "nobody"; there are: teacher',
  );
});

test('a node that cannot answer is named, and so is who asked', async () => {
  models.behaviours.push(says("CALL: ask_node('teacher', 'hi')"), refuses(400, {}, 'bad words'));
  const execution = await runDocument(app.call, chain([node('student')], {}, [node('teacher')]));
  expect(execution.error?.message).toMatch(
    /^node "student" \(ai-processor\): teacher could not answer student: model test-model: 400 bad words/,
  );
});
