/** Consumer groups: their bodies, and the list of dead letters. */
import { z } from 'zod';
import { Id, LIMIT_MAX, QueryLimit, QueryOffset, Text } from './common.ts';
import { WebhookUrl } from './webhook.ts';

const TYPES_MAX = 100;
const TYPE_LENGTH_MAX = 200;
const BATCH_DEFAULT = 100;
const REPLAY_DEFAULT = 100;

const Name = z
  .string()
  .regex(/^[\w.-]{1,100}$/, 'expected 1 to 100 letters, digits, dots, dashes and underscores');

export const ConsumerGroupCreate = z.strictObject({
  name: Name,
  /** Not a path: nothing says whose server it would be of. */
  url: WebhookUrl.refine(
    (text) => !text.startsWith('/'),
    'expected a URL that begins with http:// or https://',
  ),
  thread_id: Id.nullish(),
  /** An assistant's id, or a graph's. */
  assistant_id: Text.nullish(),
  event_types: z
    .array(
      Text.min(1)
        .max(TYPE_LENGTH_MAX)
        .regex(/^[^|]*$/, 'expected a type without its namespace'),
    )
    .min(1)
    .max(TYPES_MAX)
    .nullish(),
  from: z.enum(['start', 'now']).default('now'),
  batch_max: z.number().int().min(1).max(LIMIT_MAX).default(BATCH_DEFAULT),
});

export const ConsumerGroupPath = z.object({ name: Name });

export const DeadLetterListQuery = z.object({
  thread_id: Id.optional(),
  limit: QueryLimit,
  offset: QueryOffset,
});

export const DeadLetterReplay = z.strictObject({
  dead_letter_ids: z.array(Id).min(1).max(LIMIT_MAX).nullish(),
  thread_id: Id.nullish(),
  limit: z.number().int().min(1).max(LIMIT_MAX).default(REPLAY_DEFAULT),
});
