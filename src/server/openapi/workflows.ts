/** The rows of workflows. */
import { z } from 'zod';
import {
  ExecutionListQuery,
  WorkflowBody,
  WorkflowExecute,
  WorkflowListQuery,
} from '../schemas/workflow.ts';
import { EMPTY, json } from './operation.ts';
import type { Noun } from './operation.ts';
import { Workflow, WorkflowExecution } from './views.ts';

export const workflows: Noun = {
  tag: 'Workflows',
  description:
    'Documents of nodes and edges whose AI nodes ask each other. An execution is a run: it has a thread, a stream, a history, and is cancelled like one.',
  operations: [
    {
      method: 'post',
      path: '/workflows',
      summary: 'Create a workflow',
      description:
        'A document that cannot be executed is refused, with a line for each node and what is wrong.',
      body: WorkflowBody,
      answer: json(Workflow),
    },
    {
      method: 'get',
      path: '/workflows',
      summary: 'List workflows, newest first',
      query: WorkflowListQuery,
      answer: json(z.array(Workflow)),
    },
    {
      method: 'get',
      path: '/workflows/:workflow_id',
      summary: 'Get a workflow',
      answer: json(Workflow),
      errors: [404],
    },
    {
      method: 'put',
      path: '/workflows/:workflow_id',
      summary: 'Replace a workflow by a new version',
      description: 'Executions under way go on with the version they began with.',
      body: WorkflowBody,
      answer: json(Workflow),
      errors: [404],
    },
    {
      method: 'delete',
      path: '/workflows/:workflow_id',
      summary: 'Delete a workflow',
      description: 'Executions under way go on to their end.',
      answer: EMPTY,
      errors: [404],
    },
    {
      method: 'post',
      path: '/workflows/:workflow_id/execute',
      summary: 'Execute a workflow',
      description:
        'With `async_execution` the answer is 202 and the execution as it is; else it comes at the end. Its events: `/threads/{thread_id}/runs/{execution_id}/stream`.',
      headers: { 'Idempotency-Key': 'The same key and body execute once in 24 hours' },
      body: WorkflowExecute,
      answer: json(WorkflowExecution),
      errors: [404, 422],
    },
    {
      method: 'get',
      path: '/workflows/:workflow_id/executions',
      summary: 'List executions of a workflow, newest first',
      query: ExecutionListQuery,
      answer: json(z.array(WorkflowExecution)),
      errors: [404],
    },
    {
      method: 'get',
      path: '/workflows/:workflow_id/executions/:execution_id',
      summary: 'Get an execution of a workflow',
      answer: json(WorkflowExecution),
      errors: [404],
    },
    {
      method: 'get',
      path: '/workflows/executions/:execution_id',
      summary: 'Get an execution of any workflow',
      answer: json(WorkflowExecution),
      errors: [404],
    },
  ],
};
