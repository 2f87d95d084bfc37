/** A graph with all that protocol v2 tells of: a streaming model in a subgraph, custom events, a tool, an interrupt. */
import { FakeListChatModel } from '@langchain/core/utils/testing';
import { tool } from '@langchain/core/tools';
import { HumanMessage } from '@langchain/core/messages';
import type { BaseMessage } from '@langchain/core/messages';
import {
  Annotation,
  END,
  interrupt,
  MessagesAnnotation,
  START,
  StateGraph,
} from '@langchain/langgraph';
import type { LangGraphRunnableConfig } from '@langchain/langgraph';
import { z } from 'zod';

export const REPLY = 'Hello, you there.';

const State = Annotation.Root({
  ...MessagesAnnotation.spec,
  /** What the human said to the interrupt. */
  approved: Annotation<unknown>(),
  ask: Annotation<boolean>(),
  fail: Annotation<boolean>(),
  /** Until it is stopped. */
  wait: Annotation<boolean>(),
});

const double = tool(({ n }: { n: number }) => String(n * 2), {
  name: 'double',
  description: 'doubles',
  schema: z.object({ n: z.number() }),
});

const inner = new StateGraph(State)
  .addNode('talk', async (state, config) => {
    if (state.fail) throw new RangeError('told to fail');
    const model = new FakeListChatModel({ responses: [REPLY] });
    const messages: BaseMessage[] =
      state.messages.length === 0 ? [new HumanMessage('hi')] : state.messages;
    return { messages: [await model.invoke(messages, config)] };
  })
  .addEdge(START, 'talk')
  .addEdge('talk', END)
  .compile();

export const v2Graph = new StateGraph(State)
  .addNode('agent', inner)
  .addNode('work', async (state, config: LangGraphRunnableConfig) => {
    if (state.wait)
      await new Promise((_resolve, reject) =>
        config.signal?.addEventListener('abort', () => {
          reject(new Error('stopped'));
        }),
      );
    config.writer?.({ plain: 1 });
    config.writer?.({ name: 'progress', payload: { percent: 50 } });
    await double.invoke(
      { type: 'tool_call', id: 'call-1', name: 'double', args: { n: 21 } },
      config,
    );
    return {};
  })
  .addNode('gate', (state) => (state.ask ? { approved: interrupt({ question: 'go on?' }) } : {}))
  .addEdge(START, 'agent')
  .addEdge('agent', 'work')
  .addEdge('work', 'gate')
  .addEdge('gate', END)
  .compile();
