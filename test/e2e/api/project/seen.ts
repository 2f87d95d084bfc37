/** Graphs that tell what they were given: as configuration, as a factory, and with a typed state. */
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import type { LangGraphRunnableConfig } from '@langchain/langgraph';
import { z } from 'zod';

const State = Annotation.Root({ seen: Annotation<unknown>(), by: Annotation<string>() });

interface Runtime extends LangGraphRunnableConfig {
  context?: Record<string, unknown>;
}

export const seen = new StateGraph(State)
  .addNode('look', (_state, config: Runtime) => ({
    seen: {
      configurable: Object.fromEntries(
        Object.entries(config.configurable ?? {}).filter(([key]) => !key.startsWith('__')),
      ),
      context: config.context ?? {},
      metadata: config.metadata ?? {},
      tags: config.tags ?? [],
      limit: config.recursionLimit ?? null,
    },
  }))
  .addEdge(START, 'look')
  .addEdge('look', END)
  .compile();

export const made = (config: LangGraphRunnableConfig): unknown =>
  new StateGraph(State)
    .addNode(`node_${String(config.configurable?.['shape'] ?? 'plain')}`, () => ({
      by: String(config.configurable?.['shape'] ?? 'plain'),
    }))
    .addEdge(START, `node_${String(config.configurable?.['shape'] ?? 'plain')}`)
    .compile();

export const typed: unknown = new StateGraph(
  z.object({ name: z.string(), age: z.number().optional() }),
)
  .addNode('same', () => ({}))
  .addEdge(START, 'same')
  .addEdge('same', END)
  .compile();
