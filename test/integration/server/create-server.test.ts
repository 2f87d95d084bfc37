/** Graphs from code, of both kinds, served by this process. */
import { Annotation, StateGraph } from '@langchain/langgraph';
import { Client } from '@langchain/langgraph-sdk';
import { createServer } from '../../../src/create-server.ts';
import { Channel, EphemeralValue, Pregel } from '../../../src/index.ts';
import { createTestDatabase } from '../../support/postgres.ts';

test('graphs given in code are runs over HTTP', async () => {
  const database = await createTestDatabase();
  const State = Annotation.Root({ n: Annotation<number>() });
  const double = new StateGraph(State)
    .addNode('double', ({ n }) => ({ n: n * 2 }))
    .addEdge('__start__', 'double')
    .compile();
  const app = new Pregel({
    nodes: {
      node1: Channel.subscribeTo('a')
        .pipe((x: string) => x + x)
        .pipe(Channel.writeTo('b')),
    },
    channels: { a: new EphemeralValue<string>(), b: new EphemeralValue<string>() },
    inputChannels: ['a'],
    outputChannels: ['b'],
  });
  const server = await createServer({
    graphs: { double, app },
    settings: {
      DATABASE_URL: database.url,
      PORT: '0',
      LOG_LEVEL: 'error',
      BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS: '0',
    },
  });
  const client = new Client({ apiUrl: server.url, apiKey: null });
  expect(await client.runs.wait(null, 'double', { input: { n: 21 } })).toEqual({ n: 42 });
  expect(await client.runs.wait(null, 'app', { input: { a: 'foo' } })).toEqual({ b: 'foofoo' });
  await server.stop();
  await database.drop();
});
