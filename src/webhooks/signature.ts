/**
 * The headers of a delivery, named and computed as in the Standard Webhooks specification, so that receivers
 * can check them with a library: `webhook-signature` is `v1,` and the base64 HMAC-SHA256 of
 * `<webhook-id>.<webhook-timestamp>.<body>`. The id stays the same over all attempts; the timestamp, in
 * seconds, is the attempt's, so that a receiver can refuse what somebody else sends again much later.
 */
import { createHmac } from 'node:crypto';

const BASE64_SECRET = 'whsec_';

/**
 * @param secret WEBHOOK_SECRET. `whsec_<base64>` stands for the bytes it encodes, and there may be several of
 *   them, with spaces between, while receivers change to a new one; anything else stands for itself.
 */
export function deliveryHeaders(
  secret: string | undefined,
  delivery: { id: string; sentAt: Date; body: string },
): Record<string, string> {
  const timestamp = String(Math.floor(delivery.sentAt.getTime() / 1_000));
  const headers = { 'webhook-id': delivery.id, 'webhook-timestamp': timestamp };
  if (secret === undefined) return headers;
  const signed = `${delivery.id}.${timestamp}.${delivery.body}`;
  const signatures = keysOf(secret).map(
    (key) => `v1,${createHmac('sha256', key).update(signed).digest('base64')}`,
  );
  return { ...headers, 'webhook-signature': signatures.join(' ') };
}

function keysOf(secret: string): Buffer[] {
  const parts = secret.trim().split(/\s+/);
  // A passphrase may have spaces: its words must not become keys.
  if (!parts.every((part) => part.startsWith(BASE64_SECRET))) return [Buffer.from(secret)];
  return parts.map((part) => Buffer.from(part.slice(BASE64_SECRET.length), 'base64'));
}
