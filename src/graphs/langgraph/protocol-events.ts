/**
 * LangGraph.js's chunks as events of protocol v2 (HTTP.md, 3.10), in the form in which clients get them.
 * They are made here and not when they are read, because only here is there what they are made of: the
 * library's message events (content blocks with a beginning and an end) exist in `version: "v3"` only,
 * and the lifecycle of subgraphs is a state that no reader in the middle of a log could have.
 */
import { convertToProtocolEvent, STREAM_EVENTS_V3_MODES } from '@langchain/langgraph';
import type { ProtocolEvent } from '@langchain/langgraph';
import { methodOf, protocolType } from '../../protocol/event.ts';
import type { Channel, ProtocolEventData } from '../../protocol/event.ts';
import type { EventSink } from '../port.ts';
import { flat, isMessage } from '../serialise.ts';
import { INTERRUPT } from './events.ts';
import { ProtocolPipeline } from './protocol-pipeline.ts';
import type { TransformerFactory } from './protocol-pipeline.ts';
import type { RunTranslator } from './translator.ts';

type Fields = Record<string, unknown>;
const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

/** Passed on as they are. */
const PLAIN = new Set<string>(['tools', 'checkpoints', 'tasks', 'lifecycle']);
const EXTENSION = 'custom:';

export class ProtocolTranslator implements RunTranslator {
  readonly streamOptions: RunTranslator['streamOptions'] = {
    streamMode: STREAM_EVENTS_V3_MODES,
    subgraphs: true,
    version: 'v3',
  };
  lastValues: unknown;
  lastOutput: unknown;
  interrupted = false;
  readonly #sink: EventSink;
  readonly #pipeline: ProtocolPipeline;
  /** An interrupt of a subgraph shows in each graph above it, too. */
  readonly #requested = new Set<string>();

  constructor(sink: EventSink, factories: readonly TransformerFactory[]) {
    this.#sink = sink;
    this.#pipeline = new ProtocolPipeline({
      factories,
      terminalStatus: () => (this.interrupted ? 'interrupted' : 'completed'),
      emit: (event) => {
        this.#event(event);
      },
    });
  }

  chunk(chunk: unknown): void {
    const [namespace, mode, payload] = chunk as [
      string[],
      (typeof STREAM_EVENTS_V3_MODES)[0],
      unknown,
    ];
    if (mode === 'values') this.#note(namespace, payload);
    for (const event of convertToProtocolEvent({ namespace, mode, payload, seq: 0 }))
      this.#pipeline.push(namespace, event);
  }

  raw(): void {
    // Protocol v2 has no channel for them.
  }

  breakpoint(): void {
    this.interrupted = true;
    this.lastOutput = { [INTERRUPT]: [] };
  }

  finish(): Promise<void> {
    return this.#pipeline.finish();
  }

  fail(error: unknown): void {
    try {
      this.#pipeline.fail(error);
    } catch {
      // The sink takes nothing any more; the run's error is the one that the caller has in hand.
    }
  }

  #note(namespace: string[], values: unknown): void {
    const isInterrupt = isFields(values) && Object.hasOwn(values, INTERRUPT);
    if (isInterrupt) this.interrupted = true;
    if (namespace.length > 0) return;
    this.lastOutput = values;
    if (!isInterrupt) this.lastValues = values;
  }

  #event(event: ProtocolEvent): void {
    const { method } = event;
    const { namespace, data, node } = event.params;
    if (method === 'values') this.#values(event);
    else if (method === 'updates') {
      const update = data as { node?: string; values: unknown };
      if (update.node === INTERRUPT) this.#request(event, update.values);
      else this.#emit('updates', { ...event.params, data: stateOf(update.values) });
    } else if (method === 'custom') {
      const name = isFields(data) && typeof data['name'] === 'string' ? data['name'] : undefined;
      this.#emit('custom', event.params, name);
    } else if (method === 'messages')
      this.#emit('messages', { ...event.params, data: withRole(data) });
    else if (PLAIN.has(method)) this.#emit(method as Channel, event.params);
    else if (method === 'input' || method === 'input.requested') this.#emit('input', event.params);
    else {
      const name = method.startsWith(EXTENSION) ? method.slice(EXTENSION.length) : method;
      const { timestamp } = event.params;
      const params = { namespace, timestamp, data: { name, payload: data } };
      this.#emit('custom', node === undefined ? params : { ...params, node }, name);
    }
  }

  /** What an interrupt adds to the state is told as a request for input, and not as state. */
  #values(event: ProtocolEvent): void {
    const { data } = event.params;
    if (!isFields(data) || !Object.hasOwn(data, INTERRUPT)) {
      this.#emit('values', { ...event.params, data: stateOf(data) });
      return;
    }
    const { [INTERRUPT]: interrupts, ...values } = data;
    this.#request(event, interrupts);
    if (Object.keys(values).length > 0)
      this.#emit('values', { ...event.params, data: stateOf(values) });
  }

  #request(event: ProtocolEvent, interrupts: unknown): void {
    if (!Array.isArray(interrupts)) return;
    const { namespace, timestamp } = event.params;
    for (const { id, value } of interrupts as { id?: string; value?: unknown }[]) {
      if (id === undefined || this.#requested.has(id)) continue;
      this.#requested.add(id);
      // `payload` is the protocol's name and the JS SDK's; the Python SDK reads `value`.
      const data = { interrupt_id: id, payload: value ?? null, value: value ?? null };
      this.#emit('input', { namespace, timestamp, data });
    }
  }

  #emit(channel: Channel, params: ProtocolEventData['params'], name?: string): void {
    const body: ProtocolEventData = { method: methodOf(channel), params };
    this.#sink.emit(protocolType(channel, params.namespace, name), body);
  }
}

/** A state, or an update of it, with its messages in the form of protocol v2: empty metadata is left out. */
function stateOf(state: unknown): unknown {
  if (!isFields(state) || Array.isArray(state) || isMessage(state)) return messageOf(state);
  return Object.fromEntries(
    Object.entries(state).map(([key, value]) => [
      key,
      Array.isArray(value) ? value.map(messageOf) : messageOf(value),
    ]),
  );
}

function messageOf(value: unknown): unknown {
  if (!isMessage(value)) return value;
  const { response_metadata: metadata, ...message } = flat(value);
  return isFields(metadata) && Object.keys(metadata).length > 0
    ? { ...message, response_metadata: metadata }
    : message;
}

/** Models do not name their own role. */
const withRole = (data: unknown): unknown =>
  isFields(data) && data['event'] === 'message-start' && data['role'] === undefined
    ? { ...data, role: 'ai' }
    : data;
