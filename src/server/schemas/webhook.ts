/** Webhooks: the URL in a run's body, and the list of deliveries. */
import { z } from 'zod';
import { DELIVERY_STATUSES } from '../../webhooks/deliveries.ts';
import { Id, QueryLimit, QueryOffset, Text } from './common.ts';

const URL_LENGTH_MAX = 4_000;

/** Refused here rather than with the first delivery, when nobody looks any more. */
export const WebhookUrl = Text.max(URL_LENGTH_MAX).refine(
  isWebhookUrl,
  'expected a URL that begins with http:// or https://, or a path on this server',
);

function isWebhookUrl(text: string): boolean {
  // Parsers take tabs and line ends out: `/<tab>/host` would be what `//host` is.
  if (/[\t\n\r]/.test(text)) return false;
  // `//host` and `/\host` are no paths: a client reads them as another host.
  if (text.startsWith('/')) return !/^\/[/\\]/.test(text);
  // `http:host` is a URL with a host to parsers, and to nobody else.
  return /^https?:\/\//i.test(text) && URL.canParse(text);
}

export const DeliveryPath = z.object({ delivery_id: Id });

export const DeliveryListQuery = z.object({
  run_id: Id.optional(),
  thread_id: Id.optional(),
  status: z.enum(DELIVERY_STATUSES).optional(),
  limit: QueryLimit,
  offset: QueryOffset,
});
