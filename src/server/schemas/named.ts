/** Bodies that the API's document names (openapi/document.ts). */
export { AssistantCreate, AssistantPatch, AssistantSearchBody } from './assistant.ts';
export { RunCreate } from './run.ts';
export { ItemPutBody, ItemSearchBody } from './store.ts';
export { StateUpdateBody, ThreadCreate, ThreadPatch, ThreadSearchBody } from './thread.ts';
