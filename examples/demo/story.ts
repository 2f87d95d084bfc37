/**
 * A graph without a model, for the demo: tells a story, a chapter a step, a word an event. Each chapter is
 * a superstep with its checkpoint, so a crash costs at most the chapter that was being told.
 */
import { Annotation, StateGraph } from '@langchain/langgraph';
import type { LangGraphRunnableConfig } from '@langchain/langgraph';
import { setTimeout as delay } from 'node:timers/promises';

const WORD_MS = 25;

const CHAPTERS = [
  'A millrace is the channel that carries the water to the wheel. It asks nothing of the river but to flow, and nothing of the mill but to turn. Whoever stands beside it hears the same water pass that the wheel will feel a moment later, in the same order, drop by drop, and none of it twice.',
  'One night the gate broke and the wheel stood still. In the morning the miller found that not a drop was missing: what had flowed was in the pond, measured and marked, and what had not yet flowed was waiting above the gate. He had only to hang a new wheel and open the gate again.',
  'So the second wheel took up where the first one had stopped. It knew from a notch in the beam which sack had been ground and which had not, and it began with the one that lay half open on the stone. The half sack was ground again from its start, and the notch was cut anew.',
  'People who had walked away while the wheel was silent came back and asked what they had missed. The miller read it to them from his book, line for line, until his voice and the noise of the water said the same word at the same time. From there on they listened to the water.',
];

const State = Annotation.Root({
  chapters: Annotation<string[]>({
    reducer: (told, more) => [...told, ...more],
    default: () => [],
  }),
});

function tell(chapter: number) {
  return async (
    _state: typeof State.State,
    config: LangGraphRunnableConfig,
  ): Promise<typeof State.Update> => {
    const text = CHAPTERS[chapter] ?? '';
    let n = 0;
    for (const word of text.split(' ')) {
      await delay(WORD_MS, undefined, config.signal === undefined ? {} : { signal: config.signal });
      config.writer?.({ chapter: chapter + 1, n: n++, text: `${word} ` });
    }
    return { chapters: [text] };
  };
}

export const story = new StateGraph(State)
  .addNode('chapter_1', tell(0))
  .addNode('chapter_2', tell(1))
  .addNode('chapter_3', tell(2))
  .addNode('chapter_4', tell(3))
  .addEdge('__start__', 'chapter_1')
  .addEdge('chapter_1', 'chapter_2')
  .addEdge('chapter_2', 'chapter_3')
  .addEdge('chapter_3', 'chapter_4')
  .compile();
