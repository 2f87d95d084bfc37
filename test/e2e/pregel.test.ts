/** The seed's examples as runs over HTTP, by the official SDK: server and worker processes of dist/. */
import { fileURLToPath } from 'node:url';
import { Client } from '@langchain/langgraph-sdk';
import { PATIENT, startCluster, type Cluster } from '../support/cluster.ts';

const GRAPHS = fileURLToPath(new URL('../../examples/pregel/langgraph.json', import.meta.url));
let cluster: Cluster;
let client: Client;

beforeAll(async () => {
  cluster = await startCluster({ env: { ...PATIENT, LANGGRAPH_CONFIG_PATH: GRAPHS } });
  client = new Client({ apiUrl: cluster.url, apiKey: null });
}, 120_000);
afterAll(() => cluster.stop(), 120_000);

test.each([
  ['single_node', { a: 'foo' }, { b: 'foofoo' }],
  ['multiple_nodes', { a: 'foo' }, { b: 'foofoo', c: 'foofoofoofoo' }],
  ['topic', { a: 'foo' }, { c: ['foofoo', 'foofoofoofoo'] }],
  ['binary_operator_aggregate', { a: 'foo' }, { c: 'foofoo | update' }],
  ['cycle', { value: 'a' }, { value: 'aaaaaaaaaaaaaaaa' }],
  ['essay', { topic: 'mills' }, { topic: 'mills', content: 'Essay about mills', score: 10 }],
  ['write_essay', { topic: 'mills' }, { content: 'Essay about mills', score: 10 }],
])('%s', async (assistant, input, output) => {
  const { thread_id } = await client.threads.create();
  expect(await client.runs.wait(thread_id, assistant, { input })).toEqual(output);
});

test('a stream with interrupt, the answer, state, history, drawing and schemas', async () => {
  const { thread_id } = await client.threads.create();
  const events: [string, unknown][] = [];
  for await (const { event, data } of client.runs.stream(thread_id, 'approval', {
    input: { item: 'tea' },
    streamMode: ['values', 'updates'],
  })) {
    events.push([event, data]);
  }
  expect(events.map(([event]) => event)).toEqual(['metadata', 'values', 'updates', 'values']);
  const asked = (events[3]?.[1] as { __interrupt__: { id: string; value: unknown }[] })
    .__interrupt__;
  expect(asked.map(({ value }) => value)).toEqual([
    { question: 'Shall this be ordered?', item: 'tea' },
  ]);
  const thread = await client.threads.get(thread_id);
  expect(thread.status).toBe('interrupted');
  expect(Object.values(thread.interrupts)).toEqual([asked]);

  await client.runs.wait(thread_id, 'approval', {
    command: { resume: { [asked[0]?.id ?? '']: true } },
  });
  const state = await client.threads.getState(thread_id);
  expect(state.values).toMatchObject({ approved: true, receipt: 'receipt for tea' });
  expect(state.next).toEqual([]);
  expect(await client.threads.getHistory(thread_id)).toHaveLength(4);

  const drawn = await client.assistants.getGraph('approval');
  expect(drawn.nodes.map(({ id }) => id)).toEqual(['__start__', 'ask', 'pay', '__end__']);
  const schemas = await client.assistants.getSchemas('approval');
  expect(schemas.input_schema).toMatchObject({ properties: { item: { type: 'string' } } });
});
