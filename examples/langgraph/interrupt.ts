/**
 * A human decides: the run stops at `approval` with the question, and goes on with the answer that the next
 * run brings as `command: { resume: true | false | { approved, note } }`.
 */
import { Annotation, END, START, StateGraph, interrupt } from '@langchain/langgraph';

const Order = Annotation.Root({
  item: Annotation<string>(),
  approved: Annotation<boolean>(),
  note: Annotation<string>(),
  result: Annotation<string>(),
});

type Answer = boolean | { approved: boolean; note?: string };

export const graph = new StateGraph(Order)
  .addNode('approval', ({ item }) => {
    const answer = interrupt<{ question: string; item: string }, Answer>({
      question: 'Shall this be ordered?',
      item,
    });
    if (typeof answer === 'boolean') return { approved: answer, note: '' };
    return { approved: answer.approved, note: answer.note ?? '' };
  })
  .addNode('order', ({ item, approved }) => ({
    result: approved ? `ordered ${item}` : `did not order ${item}`,
  }))
  .addEdge(START, 'approval')
  .addEdge('approval', 'order')
  .addEdge('order', END)
  .compile();
