/** Workflows over plain HTTP, each request to the other server than the one before. */
import type { ExecutionView } from '../../../src/workflows/execution.ts';
import { call } from '../../support/api.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { chain, example } from '../../support/workflows.ts';

const document = (output: string): Record<string, unknown> =>
  chain([{ id: 'say', type: 'transformer', config: { output } }], { variables: ['name'] });

test('a workflow is made, read, listed, replaced and deleted', async () => {
  const created = await call('POST', '/workflows', document('Hi {{name}}'));
  expect(created.json()).toMatchObject({ version: 1, name: 'test' });
  const { workflow_id: id } = created.json<{ workflow_id: string }>();
  expect((await call('GET', `/workflows/${id}`)).json()).toEqual(created.json());
  const listed = await call('GET', '/workflows?limit=1000');
  expect(listed.json<{ workflow_id: string }[]>().map((row) => row.workflow_id)).toContain(id);
  const replaced = await call('PUT', `/workflows/${id}`, document('Hello {{name}}'));
  expect(replaced.json()).toMatchObject({ workflow_id: id, version: 2 });
  expect((await call('DELETE', `/workflows/${id}`)).status).toBe(204);
  expect((await call('GET', `/workflows/${id}`)).status).toBe(404);
});

test('a workflow is executed, waited for or not, by whichever server is asked', async () => {
  const created = await call('POST', '/workflows', example('04_pubsub_collaborative_qa.json'));
  const { workflow_id: id } = created.json<{ workflow_id: string }>();
  const waited = (await call('POST', `/workflows/${id}/execute`, {})).json<ExecutionView>();
  expect(waited).toMatchObject({ status: 'success', workflow_id: id });
  const answer = await call('POST', `/workflows/${id}/execute`, { async_execution: true });
  expect(answer.status).toBe(202);
  const { execution_id: second } = answer.json<ExecutionView>();
  const read = async (): Promise<ExecutionView> =>
    (await call('GET', `/workflows/executions/${second}`)).json<ExecutionView>();
  await waitUntil(async () => (await read()).status === 'success', { timeoutMs: 20_000 });
  const same = await call('GET', `/workflows/${id}/executions/${second}`);
  expect(same.json()).toEqual(await read());
  const all = (await call('GET', `/workflows/${id}/executions`)).json<ExecutionView[]>();
  expect(all.map((row) => row.execution_id)).toEqual([second, waited.execution_id]);
});
