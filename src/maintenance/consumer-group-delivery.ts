/**
 * One attempt at handing a batch to its consumer group: a POST to its URL, or a call of the project's function.
 * Nothing is kept here; that, and what follows a failure, is the sender's.
 */
import { bodyOf, deliveryIdOf } from '../consumer-groups/batch.ts';
import type { BatchEvent } from '../consumer-groups/batch.ts';
import type { ConsumerGroup } from '../consumer-groups/group.ts';
import type { AddressGuard } from '../webhooks/addresses.ts';
import { post } from '../webhooks/post.ts';
import { reasonOf } from '../webhooks/retry.ts';
import { deliveryHeaders } from '../webhooks/signature.ts';

/** What a function of the project is called with. */
export interface ConsumerBatch {
  readonly consumer_group: string;
  readonly thread_id: string;
  /** Of dead letters, out of order. */
  readonly replay: boolean;
  readonly events: readonly (Omit<BatchEvent, 'data'> & {
    /** The same however often it comes: `<thread>:<seq>-<term>`. */
    readonly id: string;
    readonly data: unknown;
  })[];
  /** Aborted when the time for this attempt is over. */
  readonly signal: AbortSignal;
}

/** Delivered when it returns, or its promise resolves. */
export type ConsumerFunction = (batch: ConsumerBatch) => unknown;

export interface DeliveryDeps {
  readonly guard: AddressGuard;
  readonly secret: string | undefined;
  /** By the name of their group. */
  readonly functions: ReadonlyMap<string, ConsumerFunction>;
  readonly timeoutMs: number;
}

export interface DeliveredBatch {
  readonly events: readonly BatchEvent[];
  /** Of a dead letter. */
  readonly replay: boolean;
}

export interface Delivery {
  /**
   * @param stop breaks it off
   * @returns null: delivered; a text: why not; undefined: `stop` broke it off. Never rejects
   */
  send(
    group: ConsumerGroup,
    threadId: string,
    batch: DeliveredBatch,
    stop: AbortSignal,
  ): Promise<string | null | undefined>;
}

export function createDelivery(deps: DeliveryDeps): Delivery {
  async function send(
    group: ConsumerGroup,
    threadId: string,
    batch: DeliveredBatch,
    stop: AbortSignal,
  ): Promise<string | null | undefined> {
    const body = bodyOf(group, threadId, batch);
    const timeout = AbortSignal.timeout(Math.ceil(deps.timeoutMs));
    const signal = AbortSignal.any([stop, timeout]);
    try {
      if (group.url === null) {
        await call(group.name, body, signal);
        return null;
      }
      const id = deliveryIdOf(group.group_id, threadId, batch.events);
      return await postTo(group.url, { id, body, signal });
    } catch (error) {
      if (stop.aborted) return undefined;
      if (timeout.aborted) return `no answer within ${deps.timeoutMs / 1_000} s`;
      return reasonOf(error);
    }
  }

  async function call(name: string, body: string, signal: AbortSignal): Promise<void> {
    const batch = { ...(JSON.parse(body) as Omit<ConsumerBatch, 'signal'>), signal };
    const over = new Promise<never>((_, reject) => {
      const onAbort = (): void => {
        reject(new Error('aborted', { cause: signal.reason }));
      };
      if (signal.aborted) onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
    });
    await Promise.race([Promise.resolve(batch).then(deps.functions.get(name)), over]);
  }

  async function postTo(
    address: string,
    delivery: { id: string; body: string; signal: AbortSignal },
  ): Promise<string | null> {
    const url = new URL(address);
    deps.guard.check(url);
    const { id, body, signal } = delivery;
    const { status, text } = await post({
      url,
      body,
      headers: {
        'content-type': 'application/json',
        'user-agent': 'millrace-consumer-group',
        ...deliveryHeaders(deps.secret, { id, sentAt: new Date(), body }),
      },
      lookup: deps.guard.lookup,
      signal,
    });
    if (status >= 200 && status < 300) return null;
    return `answered ${status}${text === '' ? '' : `: ${text}`}`;
  }

  return { send };
}
