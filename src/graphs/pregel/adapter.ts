/** The registry's seam for our own Pregel applications. */
import { hasPregelMark } from '../../pregel/mark.ts';
import type { GraphAdapter } from '../adapter.ts';
import type { Graph } from '../port.ts';

export const pregelAdapter: GraphAdapter = {
  recognises: hasPregelMark,

  async wrap(graphId, value, dependencies): Promise<Graph> {
    const [{ PregelGraph }, { isPregel }] = await Promise.all([
      import('./graph.ts'),
      import('../../pregel/pregel.ts'),
    ]);
    if (!isPregel(value)) throw new TypeError(`${graphId}: not a Pregel application`);
    return new PregelGraph(graphId, value, dependencies);
  },
};
