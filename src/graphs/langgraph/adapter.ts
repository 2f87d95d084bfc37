/**
 * The registry's seam for LangGraph.js graphs. The library is an optional peer: it is imported only when
 * such a graph is really loaded.
 */
import type { GraphAdapter } from '../adapter.ts';
import { GraphInvalidError } from '../adapter.ts';
import type { Graph } from '../port.ts';
import { compiledGraphOf } from './compiled.ts';
import type * as Implementation from './graph.ts';

export const langGraphAdapter: GraphAdapter = {
  recognises: (value) => compiledGraphOf(value) !== undefined,

  async wrap(graphId, value, dependencies, source): Promise<Graph> {
    const compiled = compiledGraphOf(value);
    if (compiled === undefined)
      throw new TypeError(`${graphId}: not a compiled LangGraph.js graph`);
    const { LangGraphGraph } = await importPeer(graphId);
    return new LangGraphGraph(graphId, compiled, dependencies, source);
  },
};

async function importPeer(graphId: string): Promise<typeof Implementation> {
  try {
    return await import('./graph.ts');
  } catch (cause) {
    const missing =
      cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND';
    if (!missing) throw cause;
    throw new GraphInvalidError(
      `graph "${graphId}" is a LangGraph.js graph, which needs two packages beside millrace: npm install @langchain/langgraph @langchain/core`,
      { cause },
    );
  }
}
