/** POST /internal/truncate: only for development and tests, and only what is named. */
import { Annotation, START, StateGraph } from '@langchain/langgraph';
import { createServer } from '../../../src/server/server.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

const State = Annotation.Root({ n: Annotation<number>(), wait: Annotation<boolean>() });
const graph = new StateGraph(State)
  .addNode('add', async ({ n, wait }, config) => {
    if (wait)
      await new Promise((_resolve, reject) => {
        config.signal.addEventListener('abort', () => {
          reject(new Error('stopped'));
        });
      });
    return { n: n + 1 };
  })
  .addEdge(START, 'add');

let app: TestServer;
let assistantId: string;
beforeAll(async () => {
  app = await startTestServer({ redis: true, graph, environment: { NODE_ENV: 'test' } });
});
afterAll(() => app.stop());

let threadId: string;
let runId: string;
beforeEach(async () => {
  const post = async (path: string, body: object): Promise<Record<string, string>> =>
    (await app.call('POST', path, body)).json() as Record<string, string>;
  assistantId = (await post('/assistants', { graph_id: 'test' }))['assistant_id'] ?? '';
  threadId = (await post('/threads', {}))['thread_id'] ?? '';
  const run = await post(`/threads/${threadId}/runs`, { assistant_id: 'test', input: { n: 1 } });
  runId = run['run_id'] ?? '';
  await app.call('GET', `/threads/${threadId}/runs/${runId}/join`);
  await app.call('PUT', '/store/items', { namespace: ['a'], key: 'k', value: {} });
});

async function truncate(parts: object): Promise<void> {
  const answer = await app.call('POST', '/internal/truncate', parts);
  expect([answer.status, answer.text]).toEqual([200, '{"ok":true}']);
}

/** What is left of what beforeEach made. */
async function left(): Promise<string[]> {
  const state = await app.call('GET', `/threads/${threadId}/state`);
  const found: [string, boolean][] = [
    ['thread', (await app.call('GET', `/threads/${threadId}`)).status === 200],
    ['run', (await app.call('GET', `/threads/${threadId}/runs/${runId}`)).status === 200],
    ['state', state.text.includes('"n":2')],
    ['assistant', (await app.call('GET', `/assistants/${assistantId}`)).status === 200],
    ['default', (await app.call('GET', '/assistants/test')).status === 200],
    ['item', (await app.call('GET', '/store/items?namespace=a&key=k')).text !== 'null'],
  ];
  return found.flatMap(([name, there]) => (there ? [name] : []));
}

test.each([
  [{}, ['thread', 'run', 'state', 'assistant', 'default', 'item']],
  [{ nothing: true }, ['thread', 'run', 'state', 'assistant', 'default', 'item']],
  [{ runs: true }, ['thread', 'state', 'assistant', 'default', 'item']],
  [{ threads: true }, ['assistant', 'default', 'item']],
  [{ assistants: true }, ['thread', 'run', 'state', 'default', 'item']],
  [{ checkpointer: true }, ['thread', 'run', 'assistant', 'default', 'item']],
  [{ store: true }, ['thread', 'run', 'state', 'assistant', 'default']],
  [{ runs: true, threads: true, assistants: true, checkpointer: true, store: true }, ['default']],
])('%j leaves %j', async (parts, rest) => {
  await truncate(parts);
  expect(await left()).toEqual(rest);
});

test('a run under way is stopped first, and its thread takes the next', async () => {
  const runs = `/threads/${threadId}/runs`;
  const body = { assistant_id: 'test', input: { n: 1, wait: true } };
  const run = (await app.call('POST', runs, body)).json() as { run_id: string };
  await waitUntil(
    async () => (await app.call('GET', `${runs}/${run.run_id}`)).text.includes('"running"'),
    { timeoutMs: 20_000 },
  );
  await truncate({ runs: true });
  expect((await app.call('GET', runs)).json()).toEqual([]);
  const next = await app.call('POST', `${runs}/wait`, { assistant_id: 'test', input: { n: 5 } });
  expect(next.json()).toMatchObject({ n: 6 });
});

test('it is not there unless the server was started for it', async () => {
  const server = createServer({ ...app.core, config: { ...app.core.config, development: false } });
  await server.start();
  const response = await fetch(`http://127.0.0.1:${server.port}/internal/truncate`, {
    method: 'POST',
  });
  expect([response.status, await response.text()]).toEqual([404, '404 Not Found']);
  await server.stop();
});
