/** Reads an item of the store and writes another. */
import { HumanMessage } from '@langchain/core/messages';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import type { LangGraphRunnableConfig } from '@langchain/langgraph';

const State = Annotation.Root({ space: Annotation<string>(), found: Annotation<unknown>() });

export const memory = new StateGraph(State)
  .addNode('remember', async ({ space }, config: LangGraphRunnableConfig) => {
    const item = await config.store?.get([space, 'in'], 'k');
    await config.store?.put([space, 'out'], 'k', { by: 'graph', said: new HumanMessage('hi') });
    return { found: item?.value ?? null };
  })
  .addEdge(START, 'remember')
  .addEdge('remember', END)
  .compile();
