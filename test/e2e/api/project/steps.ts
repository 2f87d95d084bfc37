/** Three nodes in a row that write down their names, and two that ask at the same time. */
import { Annotation, END, interrupt, START, StateGraph } from '@langchain/langgraph';

const State = Annotation.Root({
  log: Annotation<string[]>({ reducer: (a, b) => [...a, ...b], default: () => [] }),
  /** Of a Send: the task's own input. */
  item: Annotation<string>(),
});
interface Logged {
  log: string[];
}

const writes =
  (name: string) =>
  ({ item }: typeof State.State): Logged => ({ log: [item ? `${name}:${item}` : name] });

export const steps = new StateGraph(State)
  .addNode('a', writes('a'))
  .addNode('b', writes('b'))
  .addNode('c', writes('c'))
  .addEdge(START, 'a')
  .addEdge('a', 'b')
  .addEdge('b', 'c')
  .addEdge('c', END)
  .compile();

const asks = (name: string) => (): Logged => ({ log: [`${name}=${String(interrupt(name))}`] });

export const twoQuestions = new StateGraph(State)
  .addNode('color', asks('color'))
  .addNode('size', asks('size'))
  .addEdge(START, 'color')
  .addEdge(START, 'size')
  .addEdge('color', END)
  .addEdge('size', END)
  .compile();
