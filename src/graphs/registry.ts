/**
 * The graphs of a deployment: those of langgraph.json and those given in code, by id. A graph is loaded at
 * its first use, so a process that only streams never imports one.
 *
 * What an export may be: a graph, a promise of one, a builder (compiled here), or a function of the run's
 * config that makes one, which is called for each execution and each query.
 */
import { GraphInvalidError, GraphNotFoundError } from './adapter.ts';
import type { GraphAdapter, GraphDependencies, GraphSource } from './adapter.ts';
import { FactoryGraph } from './factory.ts';
import { langGraphAdapter } from './langgraph/adapter.ts';
import { pregelAdapter } from './pregel/adapter.ts';
import { readLangGraphJson } from './langgraph-json.ts';
import { loadExport } from './load.ts';
import type { Graph, GraphRegistry } from './port.ts';

/** Asked in order. */
const ADAPTERS: readonly GraphAdapter[] = [pregelAdapter, langGraphAdapter];

export interface GraphRegistryOptions {
  /** Path of langgraph.json. */
  readonly file?: string;
  /** From code: `createServer({ graphs: { agent } })`. Takes precedence over the file. */
  readonly graphs?: Readonly<Record<string, unknown>>;
  /** Graphs of our own, which runs may execute and no list names. */
  readonly hidden?: Readonly<Record<string, (dependencies: GraphDependencies) => Graph>>;
}

interface Entry {
  /** Where the graph comes from, for errors. */
  readonly origin: string;
  readonly source?: GraphSource;
  load(): Promise<unknown>;
}

/** @throws {GraphInvalidError} for a langgraph.json that cannot be read */
export function createGraphRegistry(
  dependencies: GraphDependencies,
  options: GraphRegistryOptions,
): GraphRegistry {
  const entries = new Map<string, Entry>();
  for (const spec of options.file === undefined ? [] : readLangGraphJson(options.file).graphs)
    entries.set(spec.graphId, {
      origin: spec.origin,
      source: spec,
      load: () => loadExport(spec),
    });
  for (const [graphId, value] of Object.entries(options.graphs ?? {}))
    entries.set(graphId, { origin: `graph "${graphId}"`, load: () => Promise.resolve(value) });
  const hidden = Object.entries(options.hidden ?? {}).map(
    ([graphId, make]) => [graphId, Promise.resolve(make(dependencies))] as const,
  );
  return new LazyRegistry(dependencies, entries, hidden);
}

class LazyRegistry implements GraphRegistry {
  readonly #dependencies: GraphDependencies;
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #loaded: Map<string, Promise<Graph>>;

  constructor(
    dependencies: GraphDependencies,
    entries: ReadonlyMap<string, Entry>,
    hidden: readonly (readonly [string, Promise<Graph>])[],
  ) {
    this.#dependencies = dependencies;
    this.#entries = entries;
    this.#loaded = new Map(hidden);
  }

  ids(): readonly string[] {
    return [...this.#entries.keys()];
  }

  has(graphId: string): boolean {
    return this.#entries.has(graphId);
  }

  get(graphId: string): Promise<Graph> {
    const loaded = this.#loaded.get(graphId);
    if (loaded !== undefined) return loaded;
    const entry = this.#entries.get(graphId);
    if (entry === undefined)
      return Promise.reject(
        new GraphNotFoundError(
          `Graph "${graphId}" not found; there are: ${this.ids().join(', ') || 'none'}`,
        ),
      );
    const loading = this.#load(graphId, entry);
    this.#loaded.set(graphId, loading);
    // A failure is not remembered: the file may be mended.
    loading.catch(() => this.#loaded.delete(graphId));
    return loading;
  }

  async #load(graphId: string, entry: Entry): Promise<Graph> {
    const value = await entry.load();
    const wrap = (made: unknown): Promise<Graph> => this.#wrap(graphId, entry, made);
    if (typeof value !== 'function' || adapterOf(value) !== undefined) return wrap(value);
    const make = value as (config: unknown) => unknown;
    return new FactoryGraph(graphId, async (config) => wrap(await make(config)));
  }

  async #wrap(graphId: string, { origin, source }: Entry, value: unknown): Promise<Graph> {
    const graph = adapterOf(value) === undefined ? compile(origin, value) : value;
    const adapter = adapterOf(graph);
    if (adapter === undefined)
      throw new GraphInvalidError(
        `${origin}: expected a graph, a builder with compile(), a promise of one or a function that makes one, got ${describe(value)}`,
      );
    return adapter.wrap(graphId, graph, this.#dependencies, source);
  }
}

function adapterOf(value: unknown): GraphAdapter | undefined {
  return ADAPTERS.find((adapter) => adapter.recognises(value));
}

/** A builder's graph; anything else as it is. */
function compile(origin: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('compile' in value)) return value;
  if (typeof value.compile !== 'function') return value;
  const builder = value as { compile(): unknown };
  try {
    return builder.compile();
  } catch (cause) {
    throw new GraphInvalidError(`${origin}: the graph does not compile`, { cause });
  }
}

function describe(value: unknown): string {
  if (typeof value !== 'object') return typeof value;
  return value === null ? 'null' : `an object of ${value.constructor.name}`;
}
