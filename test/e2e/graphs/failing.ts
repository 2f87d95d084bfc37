/** Fails. */
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';

class NoLuckError extends Error {
  override name = 'NoLuckError';
}

export const failing = new StateGraph(Annotation.Root({ at: Annotation<string>() }))
  .addNode('fail', () => {
    throw new NoLuckError('this graph always fails');
  })
  .addEdge(START, 'fail')
  .addEdge('fail', END)
  .compile();
