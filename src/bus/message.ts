/** A message between agents: its shape on the wire and in Postgres, checked wherever one enters. */
import { z } from 'zod';
import { AppError } from '../errors.ts';

export const MESSAGE_TYPES = [
  'QUERY',
  'RESPONSE',
  'TASK_REQUEST',
  'TASK_RESPONSE',
  'TASK_UPDATE',
  'NOTIFICATION',
  'ERROR',
  'BROADCAST',
] as const;
export type MessageType = (typeof MESSAGE_TYPES)[number];

/** Those that settle what they reply to. */
export const ANSWERS: readonly MessageType[] = ['RESPONSE', 'TASK_RESPONSE', 'ERROR'];

/** Lowest first. */
export const PRIORITIES = ['low', 'normal', 'high', 'urgent'] as const;
export type Priority = (typeof PRIORITIES)[number];

const AGENT_ID_LENGTH_MAX = 200;
const MESSAGE_ID_LENGTH_MAX = 500;
/** As JSON text. */
const CONTENT_LENGTH_MAX = 1_000_000;
/** A message that nobody takes is kept this long unless it says otherwise. */
const EXPIRY_MS_DEFAULT = 3_600_000;
export const EXPIRY_MS_MAX = 24 * 3_600_000;

/** `to_agent` of a broadcast. */
export const EVERYONE = 'broadcast';

const AgentId = z
  .string()
  .min(1)
  .max(AGENT_ID_LENGTH_MAX)
  // Part of a channel's name.
  .regex(/^[\w.-]+$/, 'expected letters, digits, "_", "-" and "."');
const MessageId = z.string().min(1).max(MESSAGE_ID_LENGTH_MAX);

const AgentMessageSchema = z.object({
  id: MessageId,
  type: z.enum(MESSAGE_TYPES),
  from_agent: AgentId,
  to_agent: AgentId,
  content: z
    .record(z.string(), z.unknown())
    .refine(
      (content) => JSON.stringify(content).length <= CONTENT_LENGTH_MAX,
      `expected at most ${CONTENT_LENGTH_MAX} characters of JSON`,
    ),
  priority: z.enum(PRIORITIES),
  /** Id of the message that this one answers. */
  reply_to: MessageId.nullable(),
  /** Messages of an execution are for its own agents only. */
  scope: z.string().min(1).max(AGENT_ID_LENGTH_MAX).nullable(),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
});
export type AgentMessage = Readonly<z.output<typeof AgentMessageSchema>>;

/** What a sender says; the rest has defaults. */
export interface NewMessage {
  /** Default: made from type, sender and time. */
  readonly id?: string;
  readonly type: MessageType;
  readonly from: string;
  readonly to: string;
  readonly content: Record<string, unknown>;
  readonly priority?: Priority;
  readonly replyTo?: string;
  readonly scope?: string | undefined;
  /** Default an hour, at most a day. */
  readonly expiresInMs?: number;
}

export class MessageInvalidError extends AppError {
  readonly code = 'message_invalid';
}

/** @throws {MessageInvalidError} naming the field */
export function newMessage(given: NewMessage): AgentMessage {
  const now = Date.now();
  const expiresInMs = Math.min(given.expiresInMs ?? EXPIRY_MS_DEFAULT, EXPIRY_MS_MAX);
  const parsed = AgentMessageSchema.safeParse({
    id: given.id ?? `${given.type.toLowerCase()}:${given.from}:${given.to}:${timestamp()}`,
    type: given.type,
    from_agent: given.from,
    to_agent: given.to,
    content: given.content,
    priority: given.priority ?? 'normal',
    reply_to: given.replyTo ?? null,
    scope: given.scope ?? null,
    created_at: new Date(now).toISOString(),
    expires_at: new Date(now + expiresInMs).toISOString(),
  });
  if (parsed.success) return parsed.data;
  throw new MessageInvalidError(`message: ${z.prettifyError(parsed.error)}`);
}

/** A message as it came over the wire; undefined: not one of ours. */
export function parseMessage(text: string): AgentMessage | undefined {
  try {
    return AgentMessageSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

let last = 0;
/** Seconds since 1970 with microseconds, never the same twice in a process. */
export function timestamp(): string {
  last = Math.max(last + 1, Math.round((performance.timeOrigin + performance.now()) * 1_000));
  return (last / 1_000_000).toFixed(6);
}
