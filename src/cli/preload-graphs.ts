/**
 * Loads all graphs before a process calls itself ready: the first run would otherwise wait for the import of the whole
 * project. A graph that cannot be loaded is logged and no reason to refuse the others' runs; its own runs say why.
 */
import type { Service } from '../lib/service.ts';
import type { Log } from '../telemetry/log.ts';
import type { GraphRegistry } from '../graphs/port.ts';

export function preloadGraphs(deps: {
  readonly graphs: GraphRegistry;
  readonly log: Log;
}): Service {
  return {
    async start() {
      // One after the other: they share most of what they import.
      for (const graphId of deps.graphs.ids()) {
        const begun = performance.now();
        try {
          await deps.graphs.get(graphId);
          const ms = Math.round(performance.now() - begun);
          deps.log.info('graph loaded', { graph_id: graphId, ms });
        } catch (error) {
          deps.log.error('graph cannot be loaded', { graph_id: graphId, error });
        }
      }
    },
    stop: () => Promise.resolve(),
  };
}
