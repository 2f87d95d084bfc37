/**
 * Sends webhooks. Any number of processes do, each with a bounded number of attempts under way and a
 * smaller number per receiver, so that one receiver that hangs does not hold up the others. A run has
 * ended long before: whatever happens here, no worker notices.
 */
import type { Service } from '../lib/service.ts';
import type { Db } from '../postgres/pool.ts';
import type { Signals } from '../postgres/signals.ts';
import type { Tell } from '../telemetry/tell.ts';
import { AddressRefusedError } from '../webhooks/addresses.ts';
import type { AddressGuard } from '../webhooks/addresses.ts';
import { claimDelivery, releaseDelivery, settleDelivery } from '../webhooks/deliveries.ts';
import type { Attempt, ClaimedDelivery } from '../webhooks/deliveries.ts';
import { post } from '../webhooks/post.ts';
import { backOffMs, CLAIM_MARGIN_MS, reasonOf, settle } from '../webhooks/retry.ts';
import { deliveryHeaders } from '../webhooks/signature.ts';
import { createLanes } from './lanes.ts';

/** Attempts under way at one host, per process. */
const PER_HOST_MAX = 4;
/** The receiver says that it wants no more of this. */
const GONE = 410;

export interface WebhookSenderDeps {
  readonly pool: Db;
  readonly signals: Signals;
  readonly tell: Tell;
  readonly guard: AddressGuard;
  readonly secret: string | undefined;
  /** Where paths lead to, when it is not the server of this process. */
  readonly baseUrl: string | undefined;
  readonly concurrency: number;
  readonly timeoutMs: number;
  readonly attemptsMax: number;
  /** Before the second attempt; the later ones wait longer and longer, up to an hour. */
  readonly firstRetryMs: number;
  readonly pollMs: number;
  onTrouble(what: string, error: unknown): void;
}

export interface WebhookSender extends Service {
  /** The server of this process listens: paths can be delivered to it. */
  listening(url: string): void;
}

export function createWebhookSender(deps: WebhookSenderDeps): WebhookSender {
  const lanes = createLanes({
    concurrency: deps.concurrency,
    perReceiverMax: PER_HOST_MAX,
    claim,
    onTrouble: (error) => {
      deps.onTrouble('webhooks', error);
    },
  });
  let baseUrl = deps.baseUrl;
  let timer: NodeJS.Timeout | undefined;

  async function claim(
    busyHosts: ReadonlySet<string>,
  ): Promise<{ receiver: string; attempt(): Promise<void> } | 'again' | undefined> {
    const delivery = await claimDelivery(deps.pool, {
      leaseMs: deps.timeoutMs + CLAIM_MARGIN_MS,
      attemptsMax: deps.attemptsMax,
      busyHosts: [...busyHosts],
      paths: baseUrl !== undefined,
    });
    if (delivery?.status !== 'dead')
      return delivery && { receiver: delivery.host, attempt: () => deliver(delivery) };
    deps.tell.webhookAttempted('dead', delivery.delivery_id);
    return 'again';
  }

  async function deliver(delivery: ClaimedDelivery): Promise<void> {
    const attempt = await send(delivery);
    if (attempt === undefined) {
      await releaseDelivery(deps.pool, delivery);
      return;
    }
    const outcome =
      attempt.error === null ? 'delivered' : attempt.retryMs === null ? 'dead' : 'failed';
    deps.tell.webhookAttempted(outcome, delivery.delivery_id);
    await settle(() => settleDelivery(deps.pool, delivery, attempt));
  }

  /** @returns undefined when the stop broke it off */
  async function send(delivery: ClaimedDelivery): Promise<Attempt | undefined> {
    const { attempts } = delivery;
    const retryMs = attempts < deps.attemptsMax ? backOffMs(deps.firstRetryMs, attempts) : null;
    try {
      const url = new URL(delivery.url, baseUrl);
      const ownServer = isPathOf(baseUrl, delivery.url, url);
      if (!ownServer) deps.guard.check(url);
      const sentAt = new Date();
      const body = bodyOf(delivery, sentAt);
      const { status, text } = await post({
        url,
        body,
        headers: {
          'content-type': 'application/json',
          'user-agent': 'millrace-webhook',
          ...deliveryHeaders(deps.secret, { id: delivery.delivery_id, sentAt, body }),
        },
        lookup: ownServer ? undefined : deps.guard.lookup,
        signal: AbortSignal.any([lanes.signal, AbortSignal.timeout(Math.ceil(deps.timeoutMs))]),
      });
      if (status >= 200 && status < 300)
        return { responseStatus: status, error: null, retryMs: null };
      return {
        responseStatus: status,
        error: `answered ${status}${text === '' ? '' : `: ${text}`}`,
        retryMs: status === GONE ? null : retryMs,
      };
    } catch (error) {
      if (lanes.signal.aborted) return undefined;
      return {
        responseStatus: null,
        error: describe(error, deps.timeoutMs),
        // Waiting does not make an internal address a public one.
        retryMs: error instanceof AddressRefusedError ? null : retryMs,
      };
    }
  }

  return {
    listening(url) {
      baseUrl ??= url;
    },
    start() {
      if (timer !== undefined) return Promise.resolve();
      timer = setInterval(lanes.open, deps.pollMs);
      deps.signals.on('webhook', lanes.open);
      return Promise.resolve();
    },
    async stop() {
      clearInterval(timer);
      await lanes.stop();
    },
  };
}

/** By what the URL leads to, not by how it is written: `http:host` and `/\t/host` are hosts that look like none. */
const isPathOf = (baseUrl: string | undefined, given: string, { origin }: URL): boolean =>
  given.startsWith('/') && baseUrl !== undefined && origin === new URL(baseUrl).origin;

/** Run ∪ what became of it (HTTP.md, 3.8), put together as text: the parts may be large and are not looked at. */
function bodyOf(delivery: ClaimedDelivery, sentAt: Date): string {
  const run = delivery.run.trim().slice(1, -1);
  const values = delivery.values === null ? '' : `,"values":${delivery.values}`;
  return `{${run},"webhook_sent_at":"${sentAt.toISOString()}"${values}${errorOf(delivery.error)}}`;
}

function errorOf(text: string | null): string {
  if (text === null) return '';
  const { message } = JSON.parse(text) as { message: string };
  return `,"error":${JSON.stringify(message)}`;
}

function describe(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return String(error);
  const cause: unknown = error.cause;
  if (cause instanceof Error && cause.name === 'TimeoutError')
    return `no answer within ${timeoutMs / 1_000} s`;
  return reasonOf(error);
}
