/** Bodies that the API's document names (openapi/document.ts). */
import { AssistantCreate, AssistantPatch, AssistantSearchBody } from './assistant.ts';
import { CronCreate, CronPatch } from './cron.ts';
import { RunCreate } from './run.ts';
import { ItemPutBody, ItemSearchBody } from './store.ts';
import { WorkflowBody, WorkflowExecute } from './workflow.ts';
import { StateUpdateBody, ThreadCreate, ThreadPatch, ThreadSearchBody } from './thread.ts';

export const NAMED_BODIES = {
  AssistantCreate,
  AssistantPatch,
  AssistantSearchBody,
  CronCreate,
  CronPatch,
  RunCreate,
  ItemPutBody,
  ItemSearchBody,
  StateUpdateBody,
  ThreadCreate,
  ThreadPatch,
  ThreadSearchBody,
  WorkflowBody,
  WorkflowExecute,
};
