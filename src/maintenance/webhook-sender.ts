/**
 * Sends webhooks. Any number of processes do, each with a bounded number of attempts under way and a
 * smaller number per receiver, so that one receiver that hangs does not hold up the others. A run has
 * ended long before: whatever happens here, no worker notices.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Service } from '../lib/service.ts';
import type { Db } from '../postgres/pool.ts';
import type { Signals } from '../postgres/signals.ts';
import type { Tell } from '../telemetry/tell.ts';
import { AddressRefusedError } from '../webhooks/addresses.ts';
import type { AddressGuard } from '../webhooks/addresses.ts';
import { claimDelivery, releaseDelivery, settleDelivery } from '../webhooks/deliveries.ts';
import type { Attempt, ClaimedDelivery } from '../webhooks/deliveries.ts';
import { post } from '../webhooks/post.ts';
import { deliveryHeaders } from '../webhooks/signature.ts';

/** Attempts under way at one receiver, per process; those that claim at the same moment may be more. */
const PER_HOST_MAX = 4;
/** A claim outlives the attempt by this much, for what Postgres takes. */
const CLAIM_MARGIN_MS = 5_000;
const RETRY_FACTOR = 4;
const RETRY_MS_MAX = 3_600_000;
/** At stop, attempts may go on for this long before they are broken off and given back. */
const STOP_GRACE_MS = 2_000;
const SETTLE_TRIES = 3;
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
  const lanes = new Set<Promise<void>>();
  const underWay = new Map<string, number>();
  const abort = new AbortController();
  let baseUrl = deps.baseUrl;
  let timer: NodeJS.Timeout | undefined;
  let stopping = false;

  /** A lane works until nothing is due; each delivery that it finds opens the next one. */
  function openLane(): void {
    if (stopping || lanes.size >= deps.concurrency) return;
    const lane = work()
      .catch((error: unknown) => {
        deps.onTrouble('webhooks', error);
      })
      .finally(() => lanes.delete(lane));
    lanes.add(lane);
  }

  async function work(): Promise<void> {
    while (!stopping) {
      const delivery = await claimDelivery(deps.pool, {
        leaseMs: deps.timeoutMs + CLAIM_MARGIN_MS,
        attemptsMax: deps.attemptsMax,
        busyHosts: [...underWay].filter(([, n]) => n >= PER_HOST_MAX).map(([host]) => host),
        paths: baseUrl !== undefined,
      });
      if (delivery === undefined) return;
      if (delivery.status === 'dead') {
        deps.tell.webhookAttempted('dead', delivery.delivery_id);
        continue;
      }
      const { host } = delivery;
      underWay.set(host, (underWay.get(host) ?? 0) + 1);
      openLane();
      try {
        await deliver(delivery);
      } finally {
        const others = (underWay.get(host) ?? 1) - 1;
        if (others === 0) underWay.delete(host);
        else underWay.set(host, others);
      }
    }
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
    for (let tries = 1; ; tries++) {
      try {
        await settleDelivery(deps.pool, delivery, attempt);
        return;
      } catch (error) {
        // Not settled: the claim lapses, and it is sent again.
        if (tries === SETTLE_TRIES) throw error;
        await delay(tries * 100);
      }
    }
  }

  /** @returns undefined when the stop broke it off */
  async function send(delivery: ClaimedDelivery): Promise<Attempt | undefined> {
    const retryMs = delivery.attempts < deps.attemptsMax ? backOffMs(delivery.attempts) : null;
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
        signal: AbortSignal.any([abort.signal, AbortSignal.timeout(deps.timeoutMs)]),
      });
      if (status >= 200 && status < 300)
        return { responseStatus: status, error: null, retryMs: null };
      return {
        responseStatus: status,
        error: `answered ${status}${text === '' ? '' : `: ${text}`}`,
        retryMs: status === GONE ? null : retryMs,
      };
    } catch (error) {
      if (abort.signal.aborted) return undefined;
      return {
        responseStatus: null,
        error: describe(error, deps.timeoutMs),
        // Waiting does not make an internal address a public one.
        retryMs: error instanceof AddressRefusedError ? null : retryMs,
      };
    }
  }

  /** Between half and all of the step, so that what failed together does not come back together. */
  function backOffMs(attempts: number): number {
    const step = Math.min(deps.firstRetryMs * RETRY_FACTOR ** (attempts - 1), RETRY_MS_MAX);
    return step * (0.5 + Math.random() / 2);
  }

  return {
    listening(url) {
      baseUrl ??= url;
    },
    start() {
      if (timer !== undefined) return Promise.resolve();
      timer = setInterval(openLane, deps.pollMs);
      deps.signals.on('webhook', openLane);
      return Promise.resolve();
    },
    async stop() {
      stopping = true;
      clearInterval(timer);
      const grace = setTimeout(() => {
        abort.abort();
      }, STOP_GRACE_MS);
      await Promise.all(lanes);
      clearTimeout(grace);
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
  // Several addresses, none of which could be connected to.
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  return first instanceof Error ? first.message : String(first);
}
