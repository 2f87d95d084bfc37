/** A Pregel application behind the graph port. */
import { CheckpointQueue } from '../../checkpoints/queue.ts';
import type { CallOptions } from '../../pregel/pregel-options.ts';
import type { Pregel } from '../../pregel/pregel.ts';
import type { StateSnapshot } from '../../pregel/state-view.ts';
import type { GraphDependencies } from '../adapter.ts';
import { publicKeys, shownKeys, threadStateOf } from '../langgraph/state.ts';
import type {
  Execution,
  ExecutionResult,
  Graph,
  GraphConfig,
  HistoryQuery,
  JsonObject,
  StateQuery,
  StateUpdate,
  ThreadState,
} from '../port.ts';
import { historyOptions } from '../history.ts';
import { searchable } from '../searchable.ts';
import { toPlain } from '../serialise.ts';
import { executePregel } from './execute.ts';
import { PregelSaver } from './saver.ts';

/** How many levels `xray: true` opens. */
const XRAY_DEPTH_MAX = 20;

export class PregelGraph implements Graph {
  readonly graphId: string;
  readonly #app: Pregel;
  readonly #dependencies: GraphDependencies;

  constructor(graphId: string, app: Pregel, dependencies: GraphDependencies) {
    this.graphId = graphId;
    this.#app = app;
    this.#dependencies = dependencies;
  }

  execute(execution: Execution): Promise<ExecutionResult> {
    return executePregel(this.#dependencies, this.#app, execution);
  }

  async getState(query: StateQuery): Promise<ThreadState> {
    const { options } = this.#bound(query);
    return stateOf(await this.#app.getState(options, { subgraphs: query.subgraphs }));
  }

  async getHistory(query: HistoryQuery): Promise<ThreadState[]> {
    const { options } = this.#bound(query);
    const history = this.#app.getStateHistory(options, historyOptions(query));
    const states: ThreadState[] = [];
    for await (const snapshot of history) states.push(stateOf(snapshot));
    return states;
  }

  async updateState(update: StateUpdate): Promise<JsonObject> {
    const { options, queue } = this.#bound({ ...update, subgraphs: false });
    await queue.begin();
    const next = await this.#app.updateState(options, update.values, update.asNode);
    return toPlain(shownKeys(next.configurable) ?? {}) as JsonObject;
  }

  draw(_config: GraphConfig, xray: boolean | number): Promise<JsonObject> {
    const depth = typeof xray === 'number' ? xray : xray ? XRAY_DEPTH_MAX : 0;
    return Promise.resolve(toPlain(this.#app.draw(depth)) as JsonObject);
  }

  schemas(): Promise<JsonObject> {
    const { state, input, output, context } = this.#app.jsonSchemas();
    return Promise.resolve({
      graph_id: this.graphId,
      input_schema: input,
      output_schema: output,
      state_schema: state,
      config_schema: context,
      context_schema: context,
    });
  }

  subgraphs(
    _config: GraphConfig,
    namespace: string | undefined,
    recurse: boolean,
  ): Promise<JsonObject> {
    const found = this.#app
      .subgraphs(recurse || namespace !== undefined)
      .filter(([name]) => namespace === undefined || name === namespace)
      .map(([name, graph]) => {
        const { state, input, output, context } = graph.jsonSchemas();
        return [name, { state, input, output, config: context }];
      });
    return Promise.resolve(Object.fromEntries(found) as JsonObject);
  }

  /** The application's options for one API call: writes settle one by one and reject. */
  #bound(query: StateQuery): { options: CallOptions; queue: CheckpointQueue } {
    const { checkpoints } = this.#dependencies;
    const { threadId, config, checkpointId, checkpointNs } = query;
    const queue = new CheckpointQueue(checkpoints, {
      writer: { threadId, runId: null, term: null },
    });
    const configurable: Record<string, unknown> = {
      ...publicKeys(config.configurable),
      thread_id: threadId,
      checkpoint_ns: checkpointNs ?? '',
    };
    delete configurable['checkpoint_id'];
    if (checkpointId !== undefined) configurable['checkpoint_id'] = checkpointId;
    return {
      queue,
      options: {
        configurable,
        metadata: { ...searchable(config.configurable), ...config.metadata },
        checkpointer: new PregelSaver(checkpoints, queue, { durability: 'sync' }),
      },
    };
  }
}

/** Our snapshots have the fields of LangGraph's, for the same form in the API. */
const stateOf = (snapshot: StateSnapshot): ThreadState =>
  threadStateOf(snapshot as unknown as Parameters<typeof threadStateOf>[0]);
