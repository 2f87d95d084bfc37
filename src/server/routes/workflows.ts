/** Workflow documents, and their executions, which are runs on threads of their own. */
import { Router } from 'express';
import type { Request, RequestHandler } from 'express';
import { newId } from '../../ids.ts';
import type { RunRow } from '../../runs/run.ts';
import {
  inputsOf,
  listExecutions,
  newExecution,
  readExecution,
  WORKFLOW_GRAPH,
  withState,
} from '../../workflows/execution.ts';
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

  const create: RequestHandler = async (request, response) => {
    const document = documentOf(request);
    sendJson(response, workflowView(await guard.watch(createWorkflow(pool, newId(), document))));
  };

  const list: RequestHandler = async (request, response) => {
    const { limit, offset } = queryOf(WorkflowListQuery, request);
    const { rows, total } = await guard.watch(listWorkflows(pool, { limit, offset }));
    sendPage(response, rows.map(workflowView), { offset, total });
  };

  const read: RequestHandler = async (request, response) => {
    const { workflow_id: id } = pathOf(WorkflowPath, request);
    sendJson(response, workflowView(await guard.watch(readWorkflow(pool, id))));
  };

  const replace: RequestHandler = async (request, response) => {
    const { workflow_id: id } = pathOf(WorkflowPath, request);
    const document = documentOf(request);
    sendJson(response, workflowView(await guard.watch(replaceWorkflow(pool, id, document))));
  };

  const remove: RequestHandler = async (request, response) => {
    const { workflow_id: id } = pathOf(WorkflowPath, request);
    await guard.watch(deleteWorkflow(pool, id));
    sendEmpty(response, 204);
  };

  const execute: RequestHandler = async (request, response) => {
    const { workflow_id: id } = pathOf(WorkflowPath, request);
    const body = bodyOf(WorkflowExecute, request);
    const { version } = await guard.watch(readWorkflow(pool, id));
    const document = await guard.watch(documents.get(id, version));
    const execution = newExecution({ id, version, document }, inputsOf(document, body.inputs));
    const { runs, replayed } = await guard.watch(
      submitAsked(submit, request, response, id, [execution]),
    );
    const { run_id: runId, thread_id: threadId } = runs[0] as RunRow;
    response.setHeader('content-location', `/workflows/${id}/executions/${runId}`);
    if (body.async_execution) {
      response.statusCode = 202;
      sendJson(response, await guard.watch(readExecution(pool, runId)));
      return;
    }
    await answerWithEnd(context, response, {
      threadId,
      runId,
      mayHaveEnded: replayed,
      cancelOnDisconnect: false,
      answer: async () => JSON.stringify(await whole(await readExecution(pool, runId))),
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

  const executions: RequestHandler = async (request, response) => {
    const { workflow_id: id } = pathOf(WorkflowPath, request);
    const { limit, offset, status } = queryOf(ExecutionListQuery, request);
    await guard.watch(readWorkflow(pool, id));
    sendJson(response, await guard.watch(listExecutions(pool, id, { limit, offset, status })));
  };

  const execution: RequestHandler = async (request, response) => {
    const { workflow_id: id, execution_id: executionId } = pathOf(WorkflowExecutionPath, request);
    sendJson(response, await guard.watch(readExecution(pool, executionId, id).then(whole)));
  };

  const anyExecution: RequestHandler = async (request, response) => {
    const { execution_id: executionId } = pathOf(ExecutionPath, request);
    sendJson(response, await guard.watch(readExecution(pool, executionId).then(whole)));
  };

  const router = Router();
  router.post('/workflows', create);
  router.get('/workflows', list);
  router.get('/workflows/executions/:execution_id', anyExecution);
  router.get('/workflows/:workflow_id', read);
  router.put('/workflows/:workflow_id', replace);
  router.delete('/workflows/:workflow_id', remove);
  router.post('/workflows/:workflow_id/execute', execute);
  router.get('/workflows/:workflow_id/executions', executions);
  router.get('/workflows/:workflow_id/executions/:execution_id', execution);
  return router;
}

/** As the client sent it: what is stored is what is given back. */
function documentOf(request: Request): Record<string, unknown> {
  const given = bodyOf(JsonObject, request);
  parseDocument(given);
  return given;
}

function workflowView({ document, ...row }: WorkflowRow): object {
  return { ...document, ...row };
}
