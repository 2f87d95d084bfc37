/** A graph that says what its input asks it to, waits to be told to finish, and then says the rest. */
import { Annotation, StateGraph } from '@langchain/langgraph';
import type { LangGraphRunnableConfig } from '@langchain/langgraph';

const State = Annotation.Root({
  say: Annotation<unknown[]>(),
  hold: Annotation<boolean>(),
  then: Annotation<unknown[]>(),
});

export interface TalkingGraph {
  readonly graph: unknown;
  /** Lets every run that holds go on. */
  finishAll(): void;
}

export function talkingGraph(): TalkingGraph {
  const holding = new Set<() => void>();
  const graph = new StateGraph(State)
    .addNode('talk', async (state: typeof State.State, config: LangGraphRunnableConfig) => {
      for (const value of state.say) config.writer?.(value);
      if (state.hold)
        await new Promise<void>((resolve) => {
          const go = (): void => {
            holding.delete(go);
            resolve();
          };
          holding.add(go);
          config.signal?.addEventListener('abort', go, { once: true });
        });
      config.signal?.throwIfAborted();
      for (const value of (state.then as unknown[] | undefined) ?? []) config.writer?.(value);
      return {};
    })
    .addEdge('__start__', 'talk')
    .compile();
  return {
    graph,
    finishAll() {
      for (const go of [...holding]) go();
    },
  };
}
