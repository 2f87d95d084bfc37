/** The official SDK's own client of protocol v2, over both its transports. */
import { Client } from '@langchain/langgraph-sdk';
import { WebSocket as WsWebSocket } from 'ws';
import { newId } from '../../../src/ids.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { REPLY, v2Graph } from '../../support/v2-graph.ts';
import { waitUntil } from '../../support/wait-until.ts';

const HI = { messages: [{ role: 'user', content: 'hi' }] };

let app: TestServer;
let client: Client;
beforeAll(async () => {
  app = await startTestServer({ redis: true, graph: v2Graph });
  client = new Client({ apiUrl: app.url, apiKey: null });
});
afterAll(() => app.stop());

type Thread = ReturnType<Client['threads']['stream']>;

const transports: Record<string, (threadId: string) => Thread> = {
  sse: (threadId) => client.threads.stream(threadId, { assistantId: 'test' }),
  websocket: (threadId) =>
    client.threads.stream(threadId, {
      assistantId: 'test',
      transport: 'websocket',
      webSocketFactory: (url: string) => new WsWebSocket(url) as unknown as WebSocket,
    }),
};

describe.each(Object.keys(transports))('%s', (name) => {
  const open = (threadId = newId()): Thread => {
    const thread = transports[name]?.(threadId);
    if (thread === undefined) throw new Error(name);
    return thread;
  };

  test('messages, values and the output of a run', async () => {
    const thread = open();
    await thread.run.start({ input: HI });
    const texts: string[] = [];
    for await (const message of thread.messages) texts.push(await message.text);
    expect(texts).toEqual([REPLY]);
    const output = (await thread.output) as { messages: { content: unknown }[] };
    expect(output.messages).toHaveLength(2);
    await thread.close();
  });

  test('an interrupt, answered, and the next run on the same handle', async () => {
    const thread = open();
    await thread.run.start({ input: { ...HI, ask: true } });
    await waitUntil(() => thread.interrupted && thread.interrupts.length > 0, {
      timeoutMs: 20_000,
    });
    expect(thread.interrupts).toMatchObject([{ payload: { question: 'go on?' }, namespace: [] }]);
    const [{ interruptId } = { interruptId: '' }] = thread.interrupts;
    await thread.input.respond({ namespace: [], interrupt_id: interruptId, response: 'fine' });
    await waitUntil(
      async () => {
        const { values } = await thread.state.get({ namespace: [] });
        return (values as { approved?: unknown }).approved === 'fine';
      },
      { timeoutMs: 20_000 },
    );
    await thread.close();
  });

  test('subgraphs and extensions of a run that is over come from its replay', async () => {
    const first = open();
    await first.run.start({ input: HI });
    await first.output;
    await first.close();
    const later = open(first.threadId);
    const progress = await later.subscribe('custom:progress');
    const payloads: unknown[] = [];
    for await (const payload of progress) {
      payloads.push(payload);
      break;
    }
    expect(payloads).toEqual([{ percent: 50 }]);
    const tree = await later.agent.getTree();
    expect(tree).toMatchObject({ tree: { status: 'completed' } });
    await later.close();
  });
});
