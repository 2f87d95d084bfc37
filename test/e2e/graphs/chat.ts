/**
 * A chat as interfaces know them: the answer comes token by token. "held <file>" is answered up to its middle, and
 * to its end once the file is there. A message that begins with "order" asks a human first.
 */
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { HumanMessage } from '@langchain/core/messages';
import type { ChatGenerationChunk } from '@langchain/core/outputs';
import { FakeListChatModel } from '@langchain/core/utils/testing';
import { END, interrupt, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import type { LangGraphRunnableConfig } from '@langchain/langgraph';

type State = typeof MessagesAnnotation.State;
type Streaming = FakeListChatModel['_streamResponseChunks'];

const HELD_AFTER_TOKENS = 12;
const LOOK_MS = 10;

const lastText = ({ messages }: State): string => messages.at(-1)?.text ?? '';

class HeldModel extends FakeListChatModel {
  file = '';

  override async *_streamResponseChunks(
    ...[messages, options, manager]: Parameters<Streaming>
  ): AsyncGenerator<ChatGenerationChunk> {
    let tokens = 0;
    for await (const chunk of super._streamResponseChunks(messages, options, manager)) {
      if (tokens++ === HELD_AFTER_TOKENS)
        while (!existsSync(this.file)) await delay(LOOK_MS, undefined, { signal: options.signal });
      yield chunk;
    }
  }
}

export const chat = new StateGraph(MessagesAnnotation)
  .addNode('gate', (state) => {
    if (!lastText(state).startsWith('order')) return {};
    const answer = interrupt<{ question: string }, { approved: boolean }>({
      question: `Shall I ${lastText(state)}?`,
    });
    return { messages: [new HumanMessage(answer.approved ? 'approved' : 'refused')] };
  })
  .addNode('talk', async (state, config: LangGraphRunnableConfig) => {
    const text = lastText(state);
    const turn = state.messages.filter((message) => message.type === 'human').length;
    const responses = [`Answer ${turn} to <${text}>.`];
    const [, file] = /^held (\S+)/.exec(text) ?? [];
    const model = file === undefined ? new FakeListChatModel({ responses }) : held(file, responses);
    return { messages: [await model.invoke(state.messages, config)] };
  })
  .addEdge(START, 'gate')
  .addEdge('gate', 'talk')
  .addEdge('talk', END)
  .compile();

function held(file: string, responses: string[]): HeldModel {
  const model = new HeldModel({ responses });
  model.file = file;
  return model;
}
