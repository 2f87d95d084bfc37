/**
 * Messages between processes. A message is a row in Postgres first; then a copy goes out on the agent's
 * Redis channel, at which its listeners look into Postgres and take it. So Redis carries the speed and
 * nothing else: a copy that is lost, or made up, changes nothing. Without Redis a signal goes out instead, and
 * whatever hint is lost, everybody looks now and then.
 *
 * Taken messages are held by a lease. A process that dies in the middle of an answer loses it, and the next
 * one answers.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Db } from '../postgres/pool.ts';
import type { Signals } from '../postgres/signals.ts';
import type { Redis } from '../redis/connect.ts';
import type { BusChannels } from './channels.ts';
import { parseMessage } from './message.ts';
import type { AgentMessage, MessageType } from './message.ts';
import {
  findAnswer,
  releaseMessage,
  renewMessages,
  settleMessage,
  storeMessage,
  takeMessages,
  takeQuestions,
  withdrawMessage,
} from './store.ts';
import type { TakenMessage } from './store.ts';
import type { Host, Listener, Transport } from './transport.ts';

/** Longest time that a lost hint can hold up a message. */
const LOOK_INTERVAL_MS = 1_000;
const SUBSCRIBE_LIMIT_MS = 1_000;
/** Messages of this process's own agents in hand at once. */
const IN_HAND_MAX = 500;
/** After a handler failed. */
const REDELIVERY_MS = 500;
const SETTLE_TRIES = 3;
/** Broadcast ids that are remembered: they come once on each connection. */
const SEEN_MAX = 10_000;

export interface PubSubDeps {
  readonly db: Db;
  readonly signals: Signals;
  /** undefined: no Redis is configured. */
  readonly redis: { commands: Redis; subscriber: Redis } | undefined;
  readonly channels: BusChannels;
  /** After this long without a sign of life a taken message is somebody else's. */
  readonly leaseMs: number;
  onTrouble(what: string, error: unknown): void;
}

export interface PubSubTransport extends Transport {
  /** Answers questions to nodes in this process from now on. */
  host(host: Host): Promise<void>;
}

interface Held {
  readonly taken: TakenMessage;
  readonly abort: AbortController;
  readonly hosted: boolean;
}

export function createPubSubTransport(deps: PubSubDeps): PubSubTransport {
  const { db, redis, channels, signals, leaseMs } = deps;
  const listeners = new Map<string, Listener>();
  const inHand = new Map<number, Held>();
  const seen = new Set<string>();
  let hosting: Host | undefined;
  let lookTimer: NodeJS.Timeout | undefined;
  let renewTimer: NodeJS.Timeout | undefined;
  let stopping = false;

  const hostedNow = (): number => [...inHand.values()].filter(({ hosted }) => hosted).length;

  // ── hints ──

  function onMessage(channel: string, text: string): void {
    if (channel === channels.broadcast) onBroadcast(text);
    else if (listeners.has(channels.agentOf(channel) ?? '')) void look();
  }

  function onPatternMessage(pattern: string): void {
    if (pattern === channels.nodes) void look();
  }

  function onBroadcast(text: string): void {
    const message = parseMessage(text);
    if (message?.type === 'BROADCAST') deliverToAll(message);
  }

  function deliverToAll(message: AgentMessage): void {
    const key = `${message.from_agent} ${message.id}`;
    if (seen.has(key)) return;
    if (seen.size >= SEEN_MAX) seen.delete(seen.values().next().value ?? '');
    seen.add(key);
    for (const listener of listeners.values()) {
      if (listener.scope !== message.scope || !listener.types().includes('BROADCAST')) continue;
      listener.handle(message, new AbortController().signal).catch((error: unknown) => {
        deps.onTrouble('handle broadcast', error);
      });
    }
  }

  // ── taking ──

  let looking = false;
  let lookAgain = false;
  async function look(): Promise<void> {
    if (stopping) return;
    lookAgain = true;
    if (looking) return;
    looking = true;
    try {
      while (lookAgain && !stopped()) {
        lookAgain = false;
        await takeOwn();
        await takeHosted();
      }
    } catch (error) {
      deps.onTrouble('look for messages', error);
    } finally {
      looking = false;
    }
  }
  // A function, because the flag changes while look() waits.
  const stopped = (): boolean => stopping;

  async function takeOwn(): Promise<void> {
    const listening = [...listeners.values()].flatMap(({ agentId, types }) =>
      types().map((type: MessageType) => ({ agentId, type })),
    );
    const limit = IN_HAND_MAX - (inHand.size - hostedNow());
    if (listening.length === 0 || limit <= 0) return;
    for (const taken of await takeMessages(db, listening, { limit, leaseMs })) {
      const listener = listeners.get(taken.message.to_agent);
      hold(taken, false, (signal) =>
        listener === undefined ? Promise.resolve() : listener.handle(taken.message, signal),
      );
    }
  }

  async function takeHosted(): Promise<void> {
    const host = hosting;
    const limit = (host?.slots ?? 0) - hostedNow();
    if (host === undefined || limit <= 0) return;
    for (const taken of await takeQuestions(db, { limit, leaseMs }))
      hold(taken, true, (signal) => host.handle(taken.message, signal));
  }

  function hold(
    taken: TakenMessage,
    hosted: boolean,
    handle: (signal: AbortSignal) => Promise<void>,
  ): void {
    const abort = new AbortController();
    const held: Held = { taken, abort, hosted };
    inHand.set(taken.position, held);
    const work = async (): Promise<void> => {
      try {
        await handle(abort.signal);
      } catch (error) {
        if (abort.signal.aborted) return;
        deps.onTrouble(`message to ${taken.message.to_agent}`, error);
        await releaseMessage(db, taken, { counts: true, afterMs: REDELIVERY_MS });
        return;
      }
      if (!abort.signal.aborted) await settle(taken);
    };
    void work()
      .catch((error: unknown) => {
        // The lease lapses, and the message is delivered again.
        deps.onTrouble('settle message', error);
      })
      .finally(() => {
        if (inHand.get(taken.position) === held) inHand.delete(taken.position);
        // A slot is free.
        if (hosted) void look();
      });
  }

  async function settle(taken: TakenMessage): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await settleMessage(db, taken);
        return;
      } catch (error) {
        if (tries === SETTLE_TRIES) throw error;
        await delay(tries * 100);
      }
    }
  }

  async function renew(): Promise<void> {
    const held = [...inHand.values()];
    if (held.length === 0) return;
    try {
      const still = await renewMessages(
        db,
        held.map(({ taken }) => taken),
        leaseMs,
      );
      for (const { taken, abort } of held)
        if (!still.has(taken.position) && inHand.get(taken.position)?.abort === abort)
          abort.abort(new Error('the message was withdrawn or is held by somebody else'));
    } catch (error) {
      deps.onTrouble('renew messages', error);
    }
  }

  // ── sending ──

  /** A hint that the message is there; never fails the sender. */
  async function announce(message: AgentMessage): Promise<void> {
    const heard =
      redis?.commands.status === 'ready'
        ? await redis.commands
            .publish(channels.agent(message.to_agent), JSON.stringify(message))
            .catch(() => 0)
        : 0;
    if (heard === 0) signals.publish('bus', message.to_agent);
  }

  async function subscribe(subscribed: Promise<unknown> | undefined): Promise<void> {
    if (subscribed === undefined) return;
    const settled = subscribed.catch(() => undefined);
    if (redis?.subscriber.status !== 'ready') return;
    await Promise.race([settled, delay(SUBSCRIBE_LIMIT_MS, undefined, { ref: false })]);
  }

  const onHint = (): void => {
    if (lookTimer !== undefined) void look();
  };
  signals.on('bus', onHint);
  signals.onGap(onHint);

  return {
    mode: 'pubsub',
    available: () => redis?.commands.status === 'ready',
    async send(message, question) {
      const stored = await storeMessage(db, message, question?.key);
      // Sent before.
      if (stored === undefined) return undefined;
      question?.onKept(stored);
      // Asked before, by an attempt that may have died with the answer in its hand.
      const answer = stored.id === message.id ? undefined : await findAnswer(db, stored);
      if (answer === undefined) await announce(stored);
      return answer;
    },
    async sendToAll(message) {
      deliverToAll(message);
      if (redis?.commands.status !== 'ready') return;
      await redis.commands
        .publish(channels.broadcast, JSON.stringify(message))
        .catch((error: unknown) => {
          deps.onTrouble('broadcast', error);
        });
    },
    withdraw: (message) => withdrawMessage(db, message),
    async listen(listener) {
      listeners.set(listener.agentId, listener);
      await subscribe(redis?.subscriber.subscribe(channels.agent(listener.agentId)));
      void look();
    },
    changed: () => void look(),
    async unlisten(listener) {
      if (listeners.get(listener.agentId) !== listener) return;
      listeners.delete(listener.agentId);
      await subscribe(redis?.subscriber.unsubscribe(channels.agent(listener.agentId)));
    },
    async host(host) {
      hosting = host;
      if (host.slots > 0) await subscribe(redis?.subscriber.psubscribe(channels.nodes));
      void look();
    },
    async start() {
      if (lookTimer !== undefined) return;
      lookTimer = setInterval(() => void look(), LOOK_INTERVAL_MS);
      renewTimer = setInterval(() => void renew(), leaseMs / 3);
      if (redis === undefined) return;
      redis.subscriber.on('message', onMessage);
      redis.subscriber.on('pmessage', onPatternMessage);
      redis.subscriber.on('ready', onHint);
      await subscribe(redis.subscriber.subscribe(channels.broadcast));
    },
    async stop() {
      stopping = true;
      clearInterval(lookTimer);
      clearInterval(renewTimer);
      lookTimer = undefined;
      redis?.subscriber.off('message', onMessage);
      redis?.subscriber.off('pmessage', onPatternMessage);
      redis?.subscriber.off('ready', onHint);
      // What is in hand is given back, for others to take at once.
      for (const { taken, abort } of inHand.values()) {
        abort.abort(new Error('the process stops'));
        await releaseMessage(db, taken, { counts: false, afterMs: 0 }).catch(() => undefined);
        signals.publish('bus', taken.message.to_agent);
      }
      inHand.clear();
    },
  };
}
