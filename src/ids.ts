/** Ids are UUIDs; new ones are v7, so that they sort by creation and keep index pages warm. */
import { v5, v7, validate } from 'uuid';

/** Namespace of the default assistants' ids (HTTP.md, section 2: uuid5(graph_id, this)). */
const GRAPH_NAMESPACE = '6ba7b821-9dad-11d1-80b4-00c04fd430c8';

/** Any version and variant, as Postgres takes it: clients bring ids of their own making. */
const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export const newId = (): string => v7();
export const isId = (text: string): boolean => validate(text);
export const isGuid = (text: string): boolean => GUID.test(text);
/** The id of a graph's default assistant: the same on every machine, so clients may hard-code it. */
export const defaultAssistantId = (graphId: string): string => v5(graphId, GRAPH_NAMESPACE);
