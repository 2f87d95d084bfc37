/** Counts in a node, one custom event a step, then once more in a second node. Obeys its signal or ignores it. */
import { setTimeout as delay } from 'node:timers/promises';
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import type { LangGraphRunnableConfig } from '@langchain/langgraph';

const Count = Annotation.Root({
  steps: Annotation<number>(),
  delayMs: Annotation<number>(),
  deaf: Annotation<boolean>(),
  done: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
});

async function count(
  { steps, delayMs, deaf }: typeof Count.State,
  config: LangGraphRunnableConfig,
): Promise<{ done: string[] }> {
  for (let step = 0; step < steps; step++) {
    config.writer?.({ step });
    await delay(delayMs, undefined, deaf || !config.signal ? {} : { signal: config.signal });
  }
  return { done: ['count'] };
}

export const counter = new StateGraph(Count)
  .addNode('count', count)
  .addNode('last', () => ({ done: ['last'] }))
  .addEdge(START, 'count')
  .addEdge('count', 'last')
  .addEdge('last', END)
  .compile();
