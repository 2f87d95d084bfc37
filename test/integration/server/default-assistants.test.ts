/** The default assistant of a graph is its deployment's, whatever clients have done with its id before the graph was there. */
import { ensureSystemAssistants } from '../../../src/assistants/assistant.ts';
import { defaultAssistantId } from '../../../src/ids.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';

let app: TestServer;
beforeAll(async () => {
  app = await startTestServer({ redis: false, worker: false });
});
afterAll(() => app.stop());

const create = async (body: object): Promise<number> =>
  (await app.call('POST', '/assistants', body)).status;
const read = async (id: string): Promise<unknown> =>
  (await app.call('GET', `/assistants/${id}`)).json();

test('as an assistant of that graph nobody makes it', async () => {
  const id = defaultAssistantId('to-come');
  for (const assistant_id of [id, id.toUpperCase()])
    for (const if_exists of ['raise', 'do_nothing'])
      expect(await create({ assistant_id, graph_id: 'to-come', if_exists })).toBe(409);
  expect((await app.call('GET', `/assistants/${id}`)).status).toBe(404);
  // Of a graph that is there it is found as before.
  await ensureSystemAssistants(app.core.pool, ['here']);
  const own = { assistant_id: defaultAssistantId('here'), graph_id: 'here' };
  expect(await create({ ...own, if_exists: 'do_nothing' })).toBe(200);
  expect(await create(own)).toBe(409);
});

test('as an assistant of another graph it goes when the graph comes, also when it was changed since', async () => {
  const taken = { graph_id: 'test', name: 'mine', metadata: { created_by: 'system' } };
  const ids = ['first', 'second'].map(defaultAssistantId);
  for (const assistant_id of ids) expect(await create({ ...taken, assistant_id })).toBe(200);
  const config = { configurable: { model: 'theirs' } };
  const patch = { graph_id: 'second', config };
  expect((await app.call('PATCH', `/assistants/${ids[1] ?? ''}`, patch)).status).toBe(200);
  await ensureSystemAssistants(app.core.pool, ['first', 'second', 'test']);
  for (const [n, graph] of ['first', 'second'].entries())
    expect(await read(ids[n] ?? '')).toMatchObject({
      graph_id: graph,
      name: graph,
      version: 1,
      config: {},
      metadata: { created_by: 'system' },
    });
});

test('what people make of a default assistant stays over a restart', async () => {
  const config = { configurable: { model: 'ours' } };
  const id = defaultAssistantId('kept');
  await ensureSystemAssistants(app.core.pool, ['kept']);
  expect((await app.call('PATCH', '/assistants/kept', { config, graph_id: 'test' })).status).toBe(
    200,
  );
  await ensureSystemAssistants(app.core.pool, ['kept']);
  expect(await read(id)).toMatchObject({ graph_id: 'test', version: 2, config });
});
