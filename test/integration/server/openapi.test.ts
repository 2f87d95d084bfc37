/** Real requests and answers held against the document's schemas. */
import { Annotation, START, StateGraph } from '@langchain/langgraph';
import { NOUNS } from '../../../src/server/openapi/nouns.ts';
import type { Operation } from '../../../src/server/openapi/operation.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';

const State = Annotation.Root({ n: Annotation<number>() });
const graph = new StateGraph(State).addNode('add', ({ n }) => ({ n: n + 1 })).addEdge(START, 'add');

const operations = NOUNS.flatMap((noun) => noun.operations);
const find = (method: string, path: string): Operation => {
  const found = operations.find((row) => row.method === method && row.path === path);
  if (found === undefined) throw new Error(`no row for ${method} ${path}`);
  return found;
};

let app: TestServer;
const ids: Record<string, string> = {};
beforeAll(async () => {
  app = await startTestServer({ redis: false, graph });
  const thread = await app.call('POST', '/threads', {});
  ids['thread_id'] = (thread.json() as { thread_id: string }).thread_id;
  const runs = `/threads/${ids['thread_id']}/runs`;
  const run = await app.call('POST', runs, { assistant_id: 'test', input: { n: 1 } });
  ids['run_id'] = (run.json() as { run_id: string }).run_id;
  await app.call('GET', `${runs}/${ids['run_id']}/join`);
  const { json } = await app.call('GET', `/threads/${ids['thread_id']}/state`);
  const { checkpoint } = json() as { checkpoint: { checkpoint_id: string } };
  ids['checkpoint_id'] = checkpoint.checkpoint_id;
  const assistant = await app.call('POST', '/assistants', { graph_id: 'test' });
  ids['assistant_id'] = (assistant.json() as { assistant_id: string }).assistant_id;
  ids['namespace'] = 'none';
  for (const name of ['cron_id', 'workflow_id', 'execution_id']) ids[name] = app.assistantId;
  await app.call('PUT', '/store/items', { namespace: ['a'], key: 'k', value: { n: 1 } });
});
afterAll(() => app.stop());

const filled = (path: string): string =>
  path.replaceAll(/:(\w+)/g, (_, name: string) => ids[name] ?? 'none');

// A command's envelope is open; its params are not. The third is not served here, and takes any key.
const withBody = operations.filter(
  ({ body, path }) => body !== undefined && !/\/commands$|^\/internal\//.test(path),
);
test.each(withBody.map(({ method, path }) => [method, path]))(
  '%s %s refuses a field that it does not know',
  async (method, path) => {
    const unknown = { field_that_nobody_knows: 1 };
    const body = path === '/runs/batch' ? [unknown] : unknown;
    const answer = await app.call(method.toUpperCase(), filled(path), body);
    expect(answer.status).toBe(400);
    expect(answer.text).toContain('field_that_nobody_knows');
  },
);

const READS: [string, string, unknown][] = [
  ['get', '/assistants/:assistant_id', undefined],
  ['post', '/assistants/search', {}],
  ['post', '/assistants/count', {}],
  ['post', '/assistants/:assistant_id/versions', {}],
  ['get', '/assistants/:assistant_id/graph', undefined],
  ['get', '/assistants/:assistant_id/schemas', undefined],
  ['get', '/assistants/:assistant_id/subgraphs', undefined],
  ['get', '/threads/:thread_id', undefined],
  ['post', '/threads', {}],
  ['post', '/threads/search', {}],
  ['post', '/threads/count', {}],
  ['post', '/threads/:thread_id/copy', undefined],
  ['get', '/threads/:thread_id/state', undefined],
  ['get', '/threads/:thread_id/state/:checkpoint_id', undefined],
  ['post', '/threads/:thread_id/state', { values: { n: 5 } }],
  ['post', '/threads/:thread_id/state/checkpoint', { checkpoint: {} }],
  ['get', '/threads/:thread_id/history', undefined],
  ['post', '/threads/:thread_id/history', {}],
  ['get', '/threads/:thread_id/runs', undefined],
  ['get', '/threads/:thread_id/runs/:run_id', undefined],
  ['post', '/runs', { assistant_id: 'test', input: { n: 1 } }],
  ['post', '/runs/batch', [{ assistant_id: 'test', input: { n: 1 } }]],
  ['post', '/store/items/search', { namespace_prefix: [] }],
  ['post', '/store/namespaces', {}],
  ['post', '/runs/crons', { assistant_id: 'test', schedule: '0 0 1 1 *' }],
  ['post', '/runs/crons/search', {}],
  ['get', '/webhooks/deliveries', undefined],
  ['get', '/ok', undefined],
  ['get', '/info', undefined],
  ['get', '/health', undefined],
];
test.each(READS)('the answer of %s %s is as the document says', async (method, path, body) => {
  const { answer } = find(method, path);
  if (!('schema' in answer)) throw new Error('the row tells no schema');
  const { status, headers, json, text } = await app.call(method.toUpperCase(), filled(path), body);
  expect([status, text]).toEqual([200, expect.any(String)]);
  expect(headers.get('content-type')).toBe(answer.type);
  expect(answer.schema.safeParse(json())).toMatchObject({ success: true });
});

test('the document and its page are served', async () => {
  const document = await app.call('GET', '/openapi.json');
  expect(document.json()).toMatchObject({
    openapi: '3.1.0',
    paths: { '/runs/{run_id}/stream': {} },
  });
  const page = await app.call('GET', '/docs');
  expect(page.headers.get('content-type')).toBe('text/html; charset=UTF-8');
  expect(page.text).toContain('<!doctype html>');
});
