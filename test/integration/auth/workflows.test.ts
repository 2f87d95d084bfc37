/** Workflows and their executions are their makers', and nobody else's. */
import { as, startAuthServer } from '../../support/auth-project/people.ts';
import type { Call } from '../../support/auth-project/people.ts';
import type { TestServer } from '../../support/server.ts';
import { chain } from '../../support/workflows.ts';
import type { ExecutionView } from '../../../src/workflows/execution.ts';

let server: TestServer;
let ada: Call, bob: Call, nobody: Call, banned: Call;
let workflow: string;
let execution: ExecutionView;
const document = chain([{ id: 'say', type: 'transformer', config: { output: 'hi' } }], {
  // It does not help to say that it is somebody else's.
  metadata: { owner: 'bob' },
});
beforeAll(async () => {
  server = await startAuthServer({});
  [ada, bob, nobody, banned] = ['ada', 'bob', undefined, 'banned'].map((name) =>
    as(server, name),
  ) as [Call, Call, Call, Call];
  const created = await ada('POST', '/workflows', document);
  workflow = (created.json() as { workflow_id: string }).workflow_id;
  execution = (await ada('POST', `/workflows/${workflow}/execute`, {})).json() as ExecutionView;
});
afterAll(() => server.stop());

const ways = (): [string, string, unknown?][] => [
  ['GET', `/workflows/${workflow}`],
  ['PUT', `/workflows/${workflow}`, document],
  ['POST', `/workflows/${workflow}/execute`, {}],
  ['GET', `/workflows/${workflow}/executions`],
  ['GET', `/workflows/${workflow}/executions/${execution.execution_id}`],
  ['GET', `/workflows/executions/${execution.execution_id}`],
  ['GET', `/threads/${execution.thread_id}`],
  ['DELETE', `/workflows/${workflow}`],
];

test('to another they do not exist', async () => {
  for (const [method, path, body] of ways())
    expect([method, path, (await bob(method, path, body)).status]).toEqual([method, path, 404]);
  expect((await bob('GET', '/workflows')).json()).toEqual([]);
  // Official clients want an event where the thread is named.
  const stream = `/threads/${execution.thread_id}/runs/${execution.execution_id}/stream`;
  expect((await bob('GET', stream)).text).toContain('404: Thread not found');
  expect((await ada('GET', stream)).text).toContain('event: values');
});

test('nobody, and who may not, gets neither', async () => {
  for (const [method, path, body] of ways()) {
    expect((await nobody(method, path, body)).status).toBe(401);
    expect((await banned(method, path, body)).status).toBe(403);
  }
  expect((await banned('POST', '/workflows', document)).status).toBe(403);
});

test('their maker may do everything', async () => {
  expect(execution).toMatchObject({ status: 'success', output: 'hi' });
  for (const [method, path, body] of ways())
    expect([method, path, (await ada(method, path, body)).status]).toEqual([
      method,
      path,
      method === 'DELETE' ? 204 : 200,
    ]);
});
