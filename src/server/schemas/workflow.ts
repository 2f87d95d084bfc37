/** Bodies of workflows. A document's inside is checked by workflows/validate.ts, which names the node. */
import { z } from 'zod';
import { RUN_STATUSES } from '../../runs/run.ts';
import { DocumentEnvelope } from '../../workflows/document.ts';
import { Id, JsonObject, QueryLimit, QueryOffset } from './common.ts';

export const WorkflowPath = z.object({ workflow_id: Id });
export const ExecutionPath = z.object({ execution_id: Id });
export const WorkflowExecutionPath = z.object({ workflow_id: Id, execution_id: Id });

/** For the API's document. */
export const WorkflowBody = DocumentEnvelope;

export const WorkflowExecute = z.strictObject({
  inputs: JsonObject.default({}),
  /** true: answered at once with the execution as it is; false: with its end. */
  async_execution: z.boolean().default(false),
});

export const WorkflowListQuery = z.object({ limit: QueryLimit, offset: QueryOffset });
export const ExecutionListQuery = z.object({
  limit: QueryLimit,
  offset: QueryOffset,
  status: z.enum(RUN_STATUSES).optional(),
});
