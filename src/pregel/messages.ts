/**
 * Chat messages as plain JSON: `{type, content, id?}` (as the LangGraph API sends them) or
 * `{role, content, id?}`. No class, so that they pass through checkpoints and SSE unchanged.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';

/** A message of a chat state. Further fields (tool_calls, name, …) are kept. */
export const messageSchema = z.looseObject({
  id: z.string().optional(),
  type: z.string().optional(),
  role: z.string().optional(),
  content: z.unknown(),
});
export type Message = z.infer<typeof messageSchema>;

export const isMessage = (value: unknown): value is Message =>
  typeof value === 'object' &&
  value !== null &&
  'content' in value &&
  (typeof (value as Message).type === 'string' || typeof (value as Message).role === 'string');

/**
 * The reducer of a message list: appends; a message with a known id replaces that one;
 * `{type: 'remove', id}` removes it. Messages without id get one.
 * @returns a new list
 */
export function mergeMessages(
  current: readonly Message[],
  update: Message | readonly Message[],
): Message[] {
  const merged = [...current];
  const places = new Map(merged.map((message, place) => [message.id, place]));
  const removed = new Set<string>();
  for (const message of (Array.isArray(update) ? update : [update]) as Message[]) {
    const { id } = message;
    const place = id === undefined ? undefined : places.get(id);
    if (message.type === 'remove') {
      if (id !== undefined) removed.add(id);
    } else if (place !== undefined) {
      merged[place] = message;
      removed.delete(id!);
    } else {
      const added = id === undefined ? { ...message, id: randomUUID() } : message;
      places.set(added.id, merged.length);
      merged.push(added);
    }
  }
  return merged.filter((message) => message.id === undefined || !removed.has(message.id));
}

/** The whole messages among what an actor wrote to a channel. */
export function messagesIn(value: unknown): readonly Message[] {
  if (isMessage(value)) return [value];
  return Array.isArray(value) ? value.filter(isMessage) : [];
}

/** What accompanies each message of stream mode `messages`. */
export function messageMetadata(
  step: number,
  node: string,
  triggers: readonly string[],
  path: readonly unknown[],
  namespace: string,
  extra: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return {
    langgraph_step: step,
    langgraph_node: node,
    langgraph_triggers: triggers,
    langgraph_path: path,
    langgraph_checkpoint_ns: namespace,
    ...extra,
  };
}
