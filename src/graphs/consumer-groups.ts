/** The consumer groups of a project (langgraph.json, `consumer_groups`), with the functions they deliver to. */
import { GraphInvalidError } from './adapter.ts';
import type { ConsumerGroupSpec } from './langgraph-json.ts';
import { loadExport } from './load.ts';

/**
 * @returns the functions by the name of their group
 * @throws {GraphInvalidError}
 */
export async function loadConsumerFunctions(
  specs: readonly ConsumerGroupSpec[],
): Promise<Map<string, (batch: object) => unknown>> {
  const functions = new Map<string, (batch: object) => unknown>();
  for (const { name, target } of specs) {
    if (typeof target === 'string') continue;
    const value = await loadExport(target);
    if (typeof value !== 'function')
      throw new GraphInvalidError(
        `${target.origin}: expected a function of a batch of events, found ${typeof value}`,
      );
    functions.set(name, value as (batch: object) => unknown);
  }
  return functions;
}
