/**
 * All workflows as one graph behind the run port: an execution is a run of it, and which document it executes
 * stands in its configuration. A state without its document can still be asked for while the workflow is there.
 */
import type { GraphDependencies } from '../graphs/adapter.ts';
import { PregelGraph } from '../graphs/pregel/graph.ts';
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
} from '../graphs/port.ts';
import { compileWorkflow } from './compile.ts';
import { openConversation } from './conversation.ts';
import type { ConversationDeps } from './conversation.ts';
import type { WorkflowDocument } from './document.ts';
import { WORKFLOW_GRAPH } from './execution.ts';
import { WorkflowNotFoundError } from './workflow.ts';
import type { Documents } from './workflow.ts';

export interface WorkflowGraphDeps extends ConversationDeps {
  readonly documents: Documents;
}

export class WorkflowGraph implements Graph {
  readonly graphId = WORKFLOW_GRAPH;
  readonly #deps: WorkflowGraphDeps;
  readonly #dependencies: GraphDependencies;

  constructor(deps: WorkflowGraphDeps, dependencies: GraphDependencies) {
    this.#deps = deps;
    this.#dependencies = dependencies;
  }

  async execute(execution: Execution): Promise<ExecutionResult> {
    const document = await this.#document(execution.config);
    const { inputs = {} } = (execution.input ?? {}) as { inputs?: Record<string, unknown> };
    const conversation = await openConversation(this.#deps, document, {
      id: execution.runId,
      inputs,
    });
    try {
      const app = compileWorkflow(document, this.#deps, conversation);
      return await new PregelGraph(this.graphId, app, this.#dependencies).execute(execution);
    } finally {
      await conversation.close();
    }
  }

  async getState(query: StateQuery): Promise<ThreadState> {
    return (await this.#toLookAt(query.config)).getState(query);
  }
  async getHistory(query: HistoryQuery): Promise<ThreadState[]> {
    return (await this.#toLookAt(query.config)).getHistory(query);
  }
  async updateState(update: StateUpdate): Promise<JsonObject> {
    return (await this.#toLookAt(update.config)).updateState(update);
  }
  async draw(config: GraphConfig, xray: boolean | number): Promise<JsonObject> {
    return (await this.#toLookAt(config)).draw(config, xray);
  }
  async schemas(config: GraphConfig): Promise<JsonObject> {
    return (await this.#toLookAt(config)).schemas();
  }
  async subgraphs(
    config: GraphConfig,
    namespace: string | undefined,
    recurse: boolean,
  ): Promise<JsonObject> {
    return (await this.#toLookAt(config)).subgraphs(config, namespace, recurse);
  }

  async #toLookAt(config: GraphConfig): Promise<PregelGraph> {
    const app = compileWorkflow(await this.#document(config), this.#deps, undefined);
    return new PregelGraph(this.graphId, app, this.#dependencies);
  }

  #document({ configurable }: GraphConfig): Promise<WorkflowDocument> {
    const { workflow_id: id, workflow_version: version } = configurable;
    if (typeof id !== 'string' || typeof version !== 'number')
      return Promise.reject(new WorkflowNotFoundError('the configuration names no workflow'));
    return this.#deps.documents.get(id, version);
  }
}
