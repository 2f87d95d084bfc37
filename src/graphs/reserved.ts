/**
 * Graphs of Millrace's own, which are in no langgraph.json (`__workflow__`). What they execute is named by their run's
 * configuration, and who may have it is asked by the routes that make such runs: so clients bind nothing to
 * them, neither an assistant nor a thread.
 */
export const isReservedGraph = (graphId: unknown): boolean =>
  typeof graphId === 'string' && graphId.startsWith('__');
