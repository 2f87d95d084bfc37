/**
 * Messages within the process: as long as the execution that sends them, and as durable. What is lost with
 * the process is asked again by the node's next attempt.
 */
import { EVERYONE, PRIORITIES } from './message.ts';
import type { AgentMessage } from './message.ts';
import type { Listener, Transport } from './transport.ts';

/** Messages that wait for agents that do not listen; beyond it the oldest are dropped. */
const KEPT_MAX = 1_000;
/** Ids that are remembered, to know a message that is sent twice. */
const SEEN_MAX = 10_000;

export function createSimpleTransport(deps: {
  onTrouble(what: string, error: unknown): void;
}): Transport {
  const listeners = new Map<string, Listener>();
  const seen = new Set<string>();
  const withdrawn = new AbortController();
  const underWay = new Map<AgentMessage, AbortController>();
  let kept: AgentMessage[] = [];

  const keyOf = (message: AgentMessage): string => `${message.from_agent} ${message.id}`;

  function isNew(message: AgentMessage): boolean {
    const key = keyOf(message);
    if (seen.has(key)) return false;
    if (seen.size >= SEEN_MAX) seen.delete(seen.values().next().value ?? '');
    seen.add(key);
    return true;
  }

  function deliver(listener: Listener, message: AgentMessage): void {
    const abort = new AbortController();
    underWay.set(message, abort);
    const signal = AbortSignal.any([abort.signal, withdrawn.signal]);
    // In a turn of its own, like a message that comes from elsewhere.
    setImmediate(() => {
      listener
        .handle(message, signal)
        .catch((error: unknown) => {
          if (!signal.aborted) deps.onTrouble('handle message', error);
        })
        .finally(() => underWay.delete(message));
    });
  }

  function deliverKept(): void {
    const now = Date.now();
    const waiting = kept
      .filter(({ expires_at: expiry }) => Date.parse(expiry) > now)
      .sort((a, b) => PRIORITIES.indexOf(b.priority) - PRIORITIES.indexOf(a.priority));
    kept = [];
    for (const message of waiting) {
      const listener = listeners.get(message.to_agent);
      if (listener?.types().includes(message.type) === true) deliver(listener, message);
      else kept.push(message);
    }
  }

  return {
    mode: 'simple',
    available: () => true,
    send(message, question) {
      question?.onKept(message);
      if (isNew(message)) {
        kept.push(message);
        if (kept.length > KEPT_MAX) kept.shift();
        deliverKept();
      }
      return Promise.resolve(undefined);
    },
    sendToAll(message) {
      for (const listener of listeners.values())
        if (listener.scope === message.scope && listener.types().includes('BROADCAST'))
          deliver(listener, { ...message, to_agent: EVERYONE });
      return Promise.resolve();
    },
    withdraw(message) {
      kept = kept.filter((one) => keyOf(one) !== keyOf(message));
      for (const [one, abort] of underWay)
        if (keyOf(one) === keyOf(message)) abort.abort(new Error('the question was withdrawn'));
      return Promise.resolve();
    },
    listen(listener) {
      listeners.set(listener.agentId, listener);
      deliverKept();
      return Promise.resolve();
    },
    changed: deliverKept,
    unlisten(listener) {
      if (listeners.get(listener.agentId) === listener) listeners.delete(listener.agentId);
      return Promise.resolve();
    },
    start: () => Promise.resolve(),
    stop() {
      withdrawn.abort(new Error('the process stops'));
      listeners.clear();
      kept = [];
      return Promise.resolve();
    },
  };
}
