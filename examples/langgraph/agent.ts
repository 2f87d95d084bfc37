/** The smallest agent: one node that answers with what was said. No model, no key. */
import { AIMessage } from '@langchain/core/messages';
import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';

type State = typeof MessagesAnnotation.State;

function echo(state: State): { messages: AIMessage[] } {
  const said = state.messages.at(-1)?.text ?? '';
  return { messages: [new AIMessage(`You said: ${said}`)] };
}

export const graph = new StateGraph(MessagesAnnotation)
  .addNode('agent', echo)
  .addEdge(START, 'agent')
  .addEdge('agent', END)
  .compile();
