/** Workflow documents, and their executions, which are runs on threads of their own. */
import { Router } from 'express';
import type { Request } from 'express';
import { newId } from '../../ids.ts';
import { EVERYTHING } from '../../postgres/visibility.ts';
import type { RunRow } from '../../runs/run.ts';
import {
  inputsOf,
  listExecutions,
  newExecution,
  readExecution,
  WORKFLOW_GRAPH,
  withState,
} from '../../workflows/execution.ts';
import type { WorkflowDocument } from '../../workflows/document.ts';
import type { ExecutionView } from '../../workflows/execution.ts';
import { parseDocument } from '../../workflows/validate.ts';
import {
  createWorkflow,
  deleteWorkflow,
  listWorkflows,
  readWorkflow,
  replaceWorkflow,
} from '../../workflows/workflow.ts';
import type { WorkflowRow } from '../../workflows/workflow.ts';
import { asks } from '../auth/declare.ts';
import type { AskingHandler } from '../auth/declare.ts';
import type { RouteContext } from '../context.ts';
import { submitAsked } from '../idempotency.ts';
import { sendEmpty, sendJson, sendPage } from '../respond.ts';
import { answerWithEnd } from '../run-wait.ts';
import { JsonObject } from '../schemas/common.ts';
import {
  ExecutionListQuery,
  ExecutionPath,
  WorkflowExecute,
  WorkflowExecutionPath,
  WorkflowListQuery,
  WorkflowPath,
} from '../schemas/workflow.ts';
import { bodyOf, pathOf, queryOf } from './request.ts';

export function workflowRoutes(context: RouteContext): Router {
  const { pool, guard, graphs, submit, documents } = context;

  /** A workflow is to authorization what an assistant is: something that is made, kept and run. */
  const asAssistant = (id: string): { assistant_id: string; graph_id: string } => ({
    assistant_id: id,
    graph_id: WORKFLOW_GRAPH,
  });

  const create: AskingHandler = async (request, response, access) => {
    const id = newId();
    const { name, document, given } = documentOf(request);
    const { value } = await access.ask('assistants:create', {
      ...asAssistant(id),
      name,
      metadata: { ...document.metadata },
    });
    const { metadata } = value;
    const row = await guard.watch(createWorkflow(pool, id, { document: given, metadata }));
    sendJson(response, workflowView(row));
  };

  const list: AskingHandler = async (request, response, access) => {
    const { limit, offset } = queryOf(WorkflowListQuery, request);
    const { visible } = await access.ask('assistants:search', {
      graph_id: WORKFLOW_GRAPH,
      limit,
      offset,
    });
    const { rows, total } = await guard.watch(listWorkflows(pool, visible, { limit, offset }));
    sendPage(response, rows.map(workflowView), { offset, total });
  };

  const read: AskingHandler = async (request, response, access) => {
    const { workflow_id: id } = pathOf(WorkflowPath, request);
    const { visible } = await access.ask('assistants:read', asAssistant(id));
    sendJson(response, workflowView(await guard.watch(readWorkflow(pool, id, visible))));
  };

  const replace: AskingHandler = async (request, response, access) => {
    const { workflow_id: id } = pathOf(WorkflowPath, request);
    const { name, document, given } = documentOf(request);
    const { visible, value } = await access.ask('assistants:update', {
      ...asAssistant(id),
      name,
      metadata: { ...document.metadata },
    });
    const { metadata } = value;
    const row = await guard.watch(
      replaceWorkflow(pool, id, visible, { document: given, metadata }),
    );
    sendJson(response, workflowView(row));
  };

  const remove: AskingHandler = async (request, response, access) => {
    const { workflow_id: id } = pathOf(WorkflowPath, request);
    const { visible } = await access.ask('assistants:delete', asAssistant(id));
    await guard.watch(deleteWorkflow(pool, id, visible));
    sendEmpty(response, 204);
  };

  const execute: AskingHandler = async (request, response, access) => {
    const { workflow_id: id } = pathOf(WorkflowPath, request);
    const body = bodyOf(WorkflowExecute, request);
    const mayRead = await access.ask('assistants:read', asAssistant(id));
    const { version } = await guard.watch(readWorkflow(pool, id, mayRead.visible));
    const document = await guard.watch(documents.get(id, version));
    const inputs = inputsOf(document, body.inputs);
    const ids = { runId: newId(), threadId: newId() };
    const { value } = await access.ask('threads:create_run', {
      thread_id: ids.threadId,
      run_id: ids.runId,
      assistant_id: id,
      status: 'pending',
      metadata: {},
      if_not_exists: 'create',
      kwargs: { input: { inputs } },
    });
    const execution = newExecution({
      ...ids,
      workflow: { id, version, document },
      // A handler may change them, as it may a run's input.
      inputs: value.kwargs.input.inputs,
      metadata: value.metadata,
      user: access.user ?? null,
    });
    const { runs, replayed } = await guard.watch(
      submitAsked(submit, request, response, id, [execution], access),
    );
    const { run_id: runId, thread_id: threadId } = runs[0] as RunRow;
    response.setHeader('content-location', `/workflows/${id}/executions/${runId}`);
    // It is the caller's own: made by this request, or by one with the caller's key.
    if (body.async_execution) {
      response.statusCode = 202;
      sendJson(response, await guard.watch(readExecution(pool, runId, EVERYTHING)));
      return;
    }
    await answerWithEnd(context, response, {
      threadId,
      runId,
      mayHaveEnded: replayed,
      cancelOnDisconnect: false,
      answer: async () => JSON.stringify(await whole(await readExecution(pool, runId, EVERYTHING))),
    });
  };

  /** The thread's row shows the state after a success; before and after anything else the checkpoints do. */
  async function whole(view: ExecutionView): Promise<ExecutionView> {
    if (view.status === 'success' || view.status === 'pending') return view;
    const graph = await graphs.get(WORKFLOW_GRAPH);
    const { values } = await graph.getState({
      threadId: view.thread_id,
      config: {
        configurable: { workflow_id: view.workflow_id, workflow_version: view.workflow_version },
        metadata: {},
      },
      subgraphs: false,
    });
    return withState(view, values);
  }

  const executions: AskingHandler = async (request, response, access) => {
    const { workflow_id: id } = pathOf(WorkflowPath, request);
    const { limit, offset, status } = queryOf(ExecutionListQuery, request);
    const mayRead = await access.ask('assistants:read', asAssistant(id));
    const metadata = { workflow_id: id };
    const { visible } = await access.ask('threads:search', { metadata, limit, offset });
    await guard.watch(readWorkflow(pool, id, mayRead.visible));
    const page = { limit, offset, status };
    sendJson(response, await guard.watch(listExecutions(pool, id, visible, page)));
  };

  const execution: AskingHandler = async (request, response, access) => {
    const { workflow_id: id, execution_id: runId } = pathOf(WorkflowExecutionPath, request);
    const { visible } = await access.ask('threads:read', { run_id: runId });
    sendJson(response, await guard.watch(readExecution(pool, runId, visible, id).then(whole)));
  };

  const anyExecution: AskingHandler = async (request, response, access) => {
    const { execution_id: runId } = pathOf(ExecutionPath, request);
    const { visible } = await access.ask('threads:read', { run_id: runId });
    sendJson(response, await guard.watch(readExecution(pool, runId, visible).then(whole)));
  };

  const router = Router();
  const one = '/workflows/:workflow_id';
  router.post('/workflows', asks(context, 'assistants:create', create));
  router.get('/workflows', asks(context, 'assistants:search', list));
  router.get('/workflows/executions/:execution_id', asks(context, 'threads:read', anyExecution));
  router.get(one, asks(context, 'assistants:read', read));
  router.put(one, asks(context, 'assistants:update', replace));
  router.delete(one, asks(context, 'assistants:delete', remove));
  router.post(`${one}/execute`, asks(context, ['assistants:read', 'threads:create_run'], execute));
  router.get(`${one}/executions`, asks(context, ['assistants:read', 'threads:search'], executions));
  router.get(`${one}/executions/:execution_id`, asks(context, 'threads:read', execution));
  return router;
}

/** `given` as the client sent it: what is stored is what is given back. */
function documentOf(request: Request): {
  name: string;
  document: WorkflowDocument;
  given: Record<string, unknown>;
} {
  const given = bodyOf(JsonObject, request);
  const document = parseDocument(given);
  return { name: document.name, document, given };
}

function workflowView({ document, ...row }: WorkflowRow): object {
  return { ...document, ...row };
}
