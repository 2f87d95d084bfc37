/** A compiled LangGraph.js graph behind the graph port. */
import { CheckpointQueue } from '../../checkpoints/queue.ts';
import type { GraphDependencies, GraphSource } from '../adapter.ts';
import type {
  Execution,
  ExecutionResult,
  Graph,
  GraphConfig,
  HistoryQuery,
  JsonObject,
  StateQuery,
  StateUpdate,
  Supersteps,
  ThreadState,
} from '../port.ts';
import { historyOptions } from '../history.ts';
import { searchable } from '../searchable.ts';
import { toPlain } from '../serialise.ts';
import { withSaver, type CompiledGraph, type LangGraphConfig } from './compiled.ts';
import { commandOf, execute } from './execute.ts';
import { LangGraphSaver } from './saver.ts';
import { runtimeSchemasOf, untypedSchemasOf } from './schemas.ts';
import { schemasAt, staticSchemasOf } from './static-schemas.ts';
import type { StaticSchemas } from './static-schemas.ts';
import { publicKeys, shownKeys, threadStateOf } from './state.ts';
import { LangGraphStore, passThroughOurStore } from './store.ts';

export class LangGraphGraph implements Graph {
  readonly graphId: string;
  readonly #graph: CompiledGraph;
  readonly #dependencies: GraphDependencies;
  readonly #store: LangGraphStore;

  readonly #source: GraphSource | undefined;

  constructor(
    graphId: string,
    graph: CompiledGraph,
    dependencies: GraphDependencies,
    source?: GraphSource,
  ) {
    passThroughOurStore();
    this.#source = source;
    this.graphId = graphId;
    this.#graph = graph;
    this.#dependencies = dependencies;
    this.#store = new LangGraphStore(dependencies.store);
  }

  execute(execution: Execution): Promise<ExecutionResult> {
    return execute(this.#dependencies, this.#graph, this.#store, execution);
  }

  async getState(query: StateQuery): Promise<ThreadState> {
    const { graph } = this.#bound(query.threadId, {});
    return threadStateOf(await graph.getState(configOf(query), { subgraphs: query.subgraphs }));
  }

  async getHistory(query: HistoryQuery): Promise<ThreadState[]> {
    const { graph } = this.#bound(query.threadId, {});
    const history = graph.getStateHistory(configOf(query), { ...historyOptions(query) });
    const states: ThreadState[] = [];
    for await (const snapshot of history) states.push(threadStateOf(snapshot));
    return states;
  }

  async updateState(update: StateUpdate): Promise<JsonObject> {
    const { graph, queue } = this.#bound(update.threadId, {
      ...searchable(update.config.configurable),
      ...update.config.metadata,
    });
    await queue.begin();
    const next = await graph.updateState(configOf(update), update.values, update.asNode);
    return toPlain(shownKeys(next.configurable) ?? {}) as JsonObject;
  }

  async applySupersteps({ threadId, config, steps }: Supersteps): Promise<void> {
    const { graph, queue } = this.#bound(threadId, searchable(config.configurable));
    await queue.begin();
    await graph.bulkUpdateState(
      configOf({ threadId, config }),
      steps.map((updates) => ({
        updates: updates.map(({ values, command, asNode }) => ({
          values: command === null ? values : commandOf(command),
          asNode,
        })),
      })),
    );
  }

  async draw(config: GraphConfig, xray: boolean | number): Promise<JsonObject> {
    const drawable = await this.#graph.getGraphAsync({ configurable: config.configurable, xray });
    return toPlain(drawable.toJSON()) as JsonObject;
  }

  async schemas(): Promise<JsonObject> {
    const { state, input, output, config } =
      runtimeSchemasOf(this.#graph) ??
      schemasAt(await this.#staticSchemas()) ??
      untypedSchemasOf(this.#graph);
    return {
      graph_id: this.graphId,
      input_schema: input,
      output_schema: output,
      state_schema: state,
      // LangGraph.js does not tell them apart.
      config_schema: config,
      context_schema: config,
    };
  }

  #staticSchemas(): Promise<StaticSchemas> {
    const { schemas } = this.#dependencies;
    return schemas === undefined
      ? Promise.resolve(new Map())
      : staticSchemasOf(schemas, this.#source);
  }

  async subgraphs(
    _config: GraphConfig,
    namespace: string | undefined,
    recurse: boolean,
  ): Promise<JsonObject> {
    const found: JsonObject = {};
    for await (const [ns, graph] of this.#graph.getSubgraphsAsync(namespace, recurse))
      found[ns] =
        runtimeSchemasOf(graph) ??
        schemasAt(await this.#staticSchemas(), ns) ??
        untypedSchemasOf(graph);
    return found;
  }

  /** The graph with a saver for one API call: writes settle one by one and reject. */
  #bound(
    threadId: string,
    metadata: Record<string, unknown>,
  ): { graph: CompiledGraph; queue: CheckpointQueue } {
    const { checkpoints } = this.#dependencies;
    const queue = new CheckpointQueue(checkpoints, {
      writer: { threadId, runId: null, term: null },
    });
    const saver = new LangGraphSaver(checkpoints, queue, { metadata, durability: 'each' });
    return { graph: withSaver(this.#graph, saver, this.#store), queue };
  }
}

function configOf(query: Omit<StateQuery, 'subgraphs'>): LangGraphConfig {
  const configurable: Record<string, unknown> = {
    ...publicKeys(query.config.configurable),
    thread_id: query.threadId,
    checkpoint_ns: query.checkpointNs ?? '',
  };
  delete configurable['checkpoint_id'];
  if (query.checkpointId !== undefined) configurable['checkpoint_id'] = query.checkpointId;
  if (query.checkpointMap != null) configurable['checkpoint_map'] = query.checkpointMap;
  return { configurable };
}
