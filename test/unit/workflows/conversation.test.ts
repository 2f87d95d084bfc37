/** What a node that is asked sends back. */
import { createBus } from '../../../src/bus/bus.ts';
import { createSimpleTransport } from '../../../src/bus/simple.ts';
import type { Models } from '../../../src/models/model.ts';
import { replyTo } from '../../../src/workflows/conversation.ts';
import type { AiNode } from '../../../src/workflows/document.ts';

test('an answer too long for a message is an error, told once', async () => {
  const deps = { onTrouble: () => undefined };
  const bus = createBus(createSimpleTransport(deps), deps);
  let asked = 0;
  const complete = (): Promise<unknown> => {
    asked++;
    return Promise.resolve({ text: 'x'.repeat(1_000_001), toolCalls: [] });
  };
  const models = { scripted: { complete } } as unknown as Models;
  const node = { id: 'b', type: 'ai-processor', config: { provider: 'scripted' } } as AiNode;
  await bus.subscribe('a');
  const agent = await bus.subscribe('b');
  agent.registerHandler('QUERY', (message, signal) =>
    replyTo(bus, { models }, node, { message, inputs: {}, signal }),
  );
  const content = { question: 'How long?', context: {} };
  const answer = await bus.ask({ from: 'a', to: 'b', content, timeoutMs: 2_000 });
  expect(answer.type).toBe('ERROR');
  expect(answer.content['error']).toContain('expected at most 1000000 characters');
  expect(asked).toBe(1);
});
