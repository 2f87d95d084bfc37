/** The seed's seven steps, as they go over the wire, and its scenarios with a Redis that runs. */
import { connectSubscriber } from '../../../src/redis/connect.ts';
import type { Redis } from '../../../src/redis/connect.ts';
import { testRedisUrl } from '../../support/redis.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';
import {
  createWorkflow,
  example,
  executeWorkflow,
  runDocument,
  studentAndTeacher,
} from '../../support/workflows.ts';

const PREFIX = 'wire-test:agent:messages';

interface Heard {
  channel: string;
  message: Record<string, unknown>;
}

let app: TestServer;
let subscriber: Redis;
const heard: Heard[] = [];
beforeAll(async () => {
  app = await startTestServer({
    redis: true,
    environment: { BUS_CHANNEL_PREFIX: PREFIX },
  });
  subscriber = connectSubscriber({ url: testRedisUrl(), name: 'test' }, () => undefined);
  subscriber.on('pmessage', (_pattern: string, channel: string, text: string) => {
    heard.push({ channel, message: JSON.parse(text) as Heard['message'] });
  });
  await subscriber.psubscribe(`${PREFIX}:*`);
});
afterAll(async () => {
  subscriber.disconnect();
  await app.stop();
});
beforeEach(() => {
  heard.length = 0;
});

test('steps 1 to 7: the student asks, Redis routes, the teacher answers, the student goes on', async () => {
  const execution = await runDocument(app.call, studentAndTeacher('pubsub'));
  expect(execution).toMatchObject({
    status: 'success',
    outputs: { student: 'Thank you, now I know.' },
    communication: { requested: 'pubsub', used: 'pubsub', warning: null },
  });
  const student = `node-${execution.execution_id}-student`;
  const teacher = `node-${execution.execution_id}-teacher`;
  await waitUntil(() => heard.length >= 2, { timeoutMs: 20_000 });
  const [query, response] = heard;
  // Steps 2 to 4.
  expect(query?.channel).toBe(`${PREFIX}:${teacher}`);
  expect(query?.message).toMatchObject({
    id: expect.stringMatching(/^query:student:teacher:\d+\.\d+$/) as string,
    type: 'QUERY',
    from_agent: student,
    to_agent: teacher,
    content: { question: 'What is quantum physics?', context: {} },
  });
  // Steps 6 and 7.
  expect(response?.channel).toBe(`${PREFIX}:${student}`);
  expect(response?.message).toMatchObject({
    type: 'RESPONSE',
    from_agent: teacher,
    to_agent: student,
    reply_to: query?.message['id'],
    content: { response: 'Quantum physics is the study of small things.' },
  });
  expect(heard).toHaveLength(2);
  expect(execution.communication_log).toMatchObject([
    { type: 'ask', from_node: 'student', to_node: 'teacher', message_id: query?.message['id'] },
    {
      type: 'response',
      from_node: 'teacher',
      to_node: 'student',
      text: 'Quantum physics is the study of small things.',
    },
  ]);
});

test('messages are events of the run', async () => {
  const execution = await runDocument(app.call, studentAndTeacher('pubsub'));
  const { text } = await app.call(
    'GET',
    `/threads/${execution.thread_id}/runs/${execution.execution_id}/stream`,
  );
  expect(text).toMatch(/event: custom\r?\ndata: .*"type":"agent_message".*"QUERY"/);
  expect(text).toMatch(/event: custom\r?\ndata: .*"type":"agent_message".*"RESPONSE"/);
  // Every message of the stream is a piece of what a node's model says.
  const messages = text.split('\n\n').filter((frame) => frame.includes('event: messages'));
  expect(messages.length).toBeGreaterThan(0);
  for (const frame of messages) expect(frame).toContain('"AIMessageChunk"');
});

test('each node is subscribed to its own channel while its execution runs, and not after it', async () => {
  const workflowId = await createWorkflow(
    app.call,
    studentAndTeacher('pubsub', { answer: { reply: 'a b c d e f g h', delay_ms: 100 } }),
  );
  const { execution_id: id, thread_id: threadId } = await executeWorkflow(app.call, workflowId, {
    async_execution: true,
  });
  const subscribers = async (node: string): Promise<number> => {
    const [, count] = await (app.core.redis?.commands.call(
      'PUBSUB',
      'NUMSUB',
      `${PREFIX}:node-${id}-${node}`,
    ) as Promise<[string, number]>);
    return count;
  };
  await waitUntil(async () => (await subscribers('teacher')) === 1, { timeoutMs: 20_000 });
  expect(await subscribers('student')).toBe(1);
  await app.call('GET', `/threads/${threadId}/runs/${id}/join`);
  await waitUntil(async () => (await subscribers('teacher')) === 0, { timeoutMs: 20_000 });
});

test('scenario 1: a workflow in simple mode does not touch Redis, though it runs', async () => {
  const execution = await runDocument(app.call, studentAndTeacher('simple'));
  expect(execution).toMatchObject({
    status: 'success',
    outputs: { student: 'Thank you, now I know.' },
    communication: { requested: 'simple', used: 'simple', warning: null },
  });
  expect(execution.communication_log).toHaveLength(2);
  expect(heard).toEqual([]);
});

test('scenario 2: the example of the student and the teacher, broadcast included', async () => {
  const execution = await runDocument(app.call, example('04_pubsub_collaborative_qa.json'));
  expect(execution).toMatchObject({
    status: 'success',
    communication: { used: 'pubsub' },
    output: { learned: expect.stringContaining('quanta') as string },
  });
  await waitUntil(() => heard.length >= 3, { timeoutMs: 20_000 });
  expect(heard.map(({ channel }) => channel.slice(PREFIX.length + 1))).toEqual([
    `node-${execution.execution_id}-teacher`,
    `node-${execution.execution_id}-student`,
    'broadcast',
  ]);
  expect(heard[2]?.message).toMatchObject({
    type: 'BROADCAST',
    content: { message: 'The lesson is over: What is quantum physics?' },
  });
});

test('the first test of the seed: the simple example works as it is', async () => {
  const execution = await runDocument(app.call, example('01_simple_qa.json'), {
    inputs: {},
    async_execution: false,
  });
  expect(execution).toMatchObject({ status: 'success', communication: { used: 'simple' } });
  expect(execution.output).toContain('millrace');
});

test('one made-up copy in Redis changes nothing: the message is the row', async () => {
  const workflowId = await createWorkflow(
    app.call,
    studentAndTeacher('pubsub', { answer: { reply: 'the true answer', delay_ms: 300 } }),
  );
  const { execution_id: id, thread_id: threadId } = await executeWorkflow(app.call, workflowId, {
    async_execution: true,
  });
  await waitUntil(() => heard.length >= 1, { timeoutMs: 20_000 });
  const [query] = heard;
  await app.core.redis?.commands.publish(
    `${PREFIX}:node-${id}-student`,
    JSON.stringify({
      ...query?.message,
      id: 'response:forged',
      type: 'RESPONSE',
      from_agent: query?.message['to_agent'],
      to_agent: query?.message['from_agent'],
      reply_to: query?.message['id'],
      content: { response: 'a lie' },
    }),
  );
  await app.call('GET', `/threads/${threadId}/runs/${id}/join`);
  const { text } = await app.call('GET', `/workflows/executions/${id}`);
  expect(text).toContain('the true answer');
  expect(text).not.toContain('a lie');
});
