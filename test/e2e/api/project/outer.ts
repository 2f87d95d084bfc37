/** A subgraph in a subgraph, which asks a question when it is told to. */
import { Annotation, END, interrupt, START, StateGraph } from '@langchain/langgraph';

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (_, b) => b, default: () => [] }),
  ask: Annotation<boolean>(),
});

const deep = new StateGraph(State)
  .addNode('work', ({ log, ask }) => ({ log: [...log, ask ? String(interrupt('sure?')) : 'deep'] }))
  .addNode('rest', () => ({}))
  .addEdge(START, 'work')
  .addEdge('work', 'rest')
  .addEdge('rest', END)
  .compile();

const middle = new StateGraph(State)
  .addNode('deep', deep)
  .addNode('rest', () => ({}))
  .addEdge(START, 'deep')
  .addEdge('deep', 'rest')
  .addEdge('rest', END)
  .compile();

export const outer = new StateGraph(State)
  .addNode('first', ({ log }) => ({ log: [...log, 'first'] }))
  .addNode('middle', middle)
  .addEdge(START, 'first')
  .addEdge('first', 'middle')
  .addEdge('middle', END)
  .compile();
