/** A graph that is made anew, from the config at hand, for each execution and each query. */
import { AppError } from '../errors.ts';
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
} from './port.ts';

export class UpdateUnsupportedError extends AppError {
  readonly code = 'input_invalid';
}

export class FactoryGraph implements Graph {
  readonly graphId: string;
  readonly #make: (config: GraphConfig) => Promise<Graph>;

  constructor(graphId: string, make: (config: GraphConfig) => Promise<Graph>) {
    this.graphId = graphId;
    this.#make = make;
  }

  async execute(execution: Execution): Promise<ExecutionResult> {
    return (await this.#make(execution.config)).execute(execution);
  }
  async getState(query: StateQuery): Promise<ThreadState> {
    return (await this.#make(query.config)).getState(query);
  }
  async getHistory(query: HistoryQuery): Promise<ThreadState[]> {
    return (await this.#make(query.config)).getHistory(query);
  }
  async updateState(update: StateUpdate): Promise<JsonObject> {
    return (await this.#make(update.config)).updateState(update);
  }
  async applySupersteps(supersteps: Supersteps): Promise<void> {
    const graph = await this.#make(supersteps.config);
    if (graph.applySupersteps === undefined)
      throw new UpdateUnsupportedError(`Graph "${this.graphId}" takes no supersteps`);
    await graph.applySupersteps(supersteps);
  }
  async draw(config: GraphConfig, xray: boolean | number): Promise<JsonObject> {
    return (await this.#make(config)).draw(config, xray);
  }
  async schemas(config: GraphConfig): Promise<JsonObject> {
    return (await this.#make(config)).schemas(config);
  }
  async subgraphs(
    config: GraphConfig,
    namespace: string | undefined,
    recurse: boolean,
  ): Promise<JsonObject> {
    return (await this.#make(config)).subgraphs(config, namespace, recurse);
  }
}
