/**
 * A chat as interfaces know them: the answer comes token by token, and takes as long as the question says
 * ("100 ms: …" is the pause between two characters). A message that begins with "order" asks a human first.
 */
import { HumanMessage } from '@langchain/core/messages';
import { FakeListChatModel } from '@langchain/core/utils/testing';
import { END, interrupt, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import type { LangGraphRunnableConfig } from '@langchain/langgraph';

type State = typeof MessagesAnnotation.State;

const lastText = ({ messages }: State): string => messages.at(-1)?.text ?? '';

export const chat = new StateGraph(MessagesAnnotation)
  .addNode('gate', (state) => {
    if (!lastText(state).startsWith('order')) return {};
    const answer = interrupt<{ question: string }, { approved: boolean }>({
      question: `Shall I ${lastText(state)}?`,
    });
    return { messages: [new HumanMessage(answer.approved ? 'approved' : 'refused')] };
  })
  .addNode('talk', async (state, config: LangGraphRunnableConfig) => {
    const [, pauseMs = '0'] = /^(\d+) ms: /.exec(lastText(state)) ?? [];
    const turn = state.messages.filter((message) => message.type === 'human').length;
    const model = new FakeListChatModel({
      responses: [`Answer ${turn} to <${lastText(state)}>.`],
      ...(pauseMs === '0' ? {} : { sleep: Number(pauseMs) }),
    });
    return { messages: [await model.invoke(state.messages, config)] };
  })
  .addEdge(START, 'gate')
  .addEdge('gate', 'talk')
  .addEdge('talk', END)
  .compile();
