/** Workflows are for who may see them: the graph that executes all of them is reached by their own routes only. */
import { defaultAssistantId, newId } from '../../../src/ids.ts';
import { WORKFLOW_GRAPH } from '../../../src/workflows/execution.ts';
import { as, startAuthServer } from '../../support/auth-project/people.ts';
import type { Call } from '../../support/auth-project/people.ts';
import type { TestServer } from '../../support/server.ts';
import { chain } from '../../support/workflows.ts';

const SECRET = 'the-recipe-of-ada';

let server: TestServer;
let ada: Call, bob: Call;
let workflowId: string;
beforeAll(async () => {
  server = await startAuthServer();
  ada = as(server, 'ada');
  bob = as(server, 'bob');
  const document = chain([{ id: 'only', type: 'transformer', config: { output: SECRET } }]);
  const made = await ada('POST', '/workflows', document);
  workflowId = (made.json() as { workflow_id: string }).workflow_id;
});
afterAll(() => server.stop());

const configurable = (): object => ({ workflow_id: workflowId, workflow_version: 1 });

test('another’s is none, and its owner has it', async () => {
  const path = `/workflows/${workflowId}`;
  expect((await bob('GET', path)).status).toBe(404);
  expect((await bob('POST', `${path}/execute`, {})).status).toBe(404);
  const done = await ada('POST', `${path}/execute`, {});
  expect(done.json()).toMatchObject({ status: 'success', output: SECRET });
  const { execution_id: id } = done.json() as { execution_id: string };
  expect((await bob('GET', `/workflows/executions/${id}`)).status).toBe(404);
});

test('no assistant of a client’s leads to it', async () => {
  const body = { graph_id: WORKFLOW_GRAPH, config: { configurable: configurable() } };
  for (const assistantId of [newId(), defaultAssistantId(WORKFLOW_GRAPH)])
    expect((await bob('POST', '/assistants', { ...body, assistant_id: assistantId })).status).toBe(
      400,
    );
  const taken = { graph_id: 'agent', assistant_id: defaultAssistantId(WORKFLOW_GRAPH) };
  expect((await bob('POST', '/assistants', taken)).status).toBe(409);
  const own = (await bob('POST', '/assistants', { graph_id: 'agent' })).json() as {
    assistant_id: string;
  };
  expect((await bob('PATCH', `/assistants/${own.assistant_id}`, body)).status).toBe(400);
  for (const id of [WORKFLOW_GRAPH, defaultAssistantId(WORKFLOW_GRAPH)])
    expect(
      (
        await bob('POST', '/runs/wait', {
          assistant_id: id,
          config: { configurable: configurable() },
        })
      ).status,
    ).toBe(404);
});

test('one that was made before leads to it no more', async () => {
  const { rows } = await server.core.pool.query<{ assistant_id: string }>(
    `INSERT INTO assistants (assistant_id, graph_id, name, metadata, config, context)
     VALUES ($1, $2, 'old', '{"owner": "bob"}', $3, '{}') RETURNING assistant_id`,
    [newId(), WORKFLOW_GRAPH, { configurable: configurable() }],
  );
  const id = rows[0]?.assistant_id ?? '';
  const answer = await bob('POST', '/runs/wait', { assistant_id: id, input: {} });
  expect([answer.status, answer.text.includes(SECRET)]).toEqual([404, false]);
  expect((await bob('GET', `/assistants/${id}/graph`)).status).toBe(404);
});

test('no thread of a client’s is made one of its executions', async () => {
  const metadata = { graph_id: WORKFLOW_GRAPH };
  expect((await bob('POST', '/threads', { metadata })).status).toBe(400);
  const { thread_id: id } = (await bob('POST', '/threads', {})).json() as { thread_id: string };
  await bob('POST', `/threads/${id}/runs/wait`, {
    assistant_id: 'agent',
    input: { n: 1 },
    config: { configurable: configurable() },
  });
  expect((await bob('PATCH', `/threads/${id}`, { metadata })).status).toBe(400);
  expect((await bob('PATCH', `/threads/${id}/state`, { metadata })).status).toBe(400);
});
