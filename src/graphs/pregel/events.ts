/** Our runtime's stream events as the events of the API (HTTP.md, 3.7). One instance per execution. */
import type { PregelStreamMode, StreamSink } from '../../pregel/stream-modes.ts';
import { isMessage, messagesIn, type Message } from '../../pregel/messages.ts';
import { checkpointOf } from '../langgraph/state.ts';
import type { EventSink, StreamMode } from '../port.ts';
import { roomIn } from '../room.ts';

type Fields = Record<string, unknown>;
const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

export interface EventOptions {
  readonly modes: readonly StreamMode[];
  readonly subgraphs: boolean;
}

export class PregelEvents implements StreamSink {
  readonly modes: ReadonlySet<PregelStreamMode>;
  readonly subgraphs: boolean;
  /** What the last `values` event of the root graph said; undefined: there was none. */
  lastOutput: unknown;
  readonly #asked: ReadonlySet<StreamMode>;
  readonly #sink: EventSink;
  readonly #partial = new Map<string, Message>();
  readonly #complete = new Set<string>();
  readonly #stop: AbortSignal;

  /** @param stop a run that is to end does not wait for room in the sink */
  constructor(sink: EventSink, options: EventOptions, stop: AbortSignal) {
    this.#sink = sink;
    this.#stop = stop;
    this.#asked = new Set(options.modes);
    this.subgraphs = options.subgraphs;
    // Values always: they are what a run answers.
    const modes = new Set<PregelStreamMode>(['values']);
    for (const mode of options.modes) {
      if (mode === 'messages-tuple') modes.add('messages');
      // `events` are LangChain's callbacks and `tools` its tool calls: our runtime has neither.
      else if (mode !== 'events' && mode !== 'tools') modes.add(mode);
    }
    this.modes = modes;
  }

  emit(namespace: readonly string[], mode: PregelStreamMode, payload: unknown): void {
    switch (mode) {
      case 'values':
        if (namespace.length === 0) this.lastOutput = payload;
        if (this.#asked.has('values')) this.#send('values', namespace, payload);
        if (this.#asked.has('messages')) this.#completeMessages(payload);
        break;
      case 'messages':
        if (this.#asked.has('messages-tuple')) this.#send('messages', namespace, payload);
        if (this.#asked.has('messages')) this.#partialMessage(payload as [unknown, Fields]);
        break;
      case 'checkpoints': {
        const { values, metadata, next } = payload as Fields;
        this.#send(mode, namespace, { values, metadata, next });
        break;
      }
      case 'debug':
        this.#send(mode, namespace, debugOf(payload as Fields));
        break;
      case 'tasks':
      case 'updates':
      case 'custom':
        this.#send(mode, namespace, payload);
        break;
    }
  }

  room(): Promise<void> | undefined {
    return roomIn(this.#sink, this.#stop);
  }

  #send(mode: string, namespace: readonly string[], data: unknown): void {
    this.#sink.emit(namespace.length === 0 ? mode : `${mode}|${namespace.join('|')}`, data);
  }

  /** A chunk is the next piece of the message with its id; clients get the message so far. */
  #partialMessage([chunk, metadata]: [unknown, Fields]): void {
    if (!isMessage(chunk) || chunk.id === undefined) return;
    const known = this.#partial.get(chunk.id);
    if (known === undefined) {
      this.#sink.emit('messages/metadata', { [chunk.id]: { metadata } });
    }
    const whole =
      typeof known?.content === 'string' && typeof chunk.content === 'string'
        ? { ...known, ...chunk, content: known.content + chunk.content }
        : chunk;
    this.#partial.set(chunk.id, whole);
    this.#sink.emit('messages/partial', [whole]);
  }

  /** A message is complete once it is in the state. */
  #completeMessages(values: unknown): void {
    if (!isFields(values)) return;
    const fresh = messagesIn(values['messages']).filter(({ id }) => {
      if (id === undefined || this.#complete.has(id)) return false;
      this.#complete.add(id);
      this.#partial.delete(id);
      return true;
    });
    if (fresh.length > 0) this.#sink.emit('messages/complete', fresh);
  }
}

function debugOf(event: Fields): Fields {
  if (event['type'] !== 'checkpoint') return event;
  const { parentConfig, ...payload } = event['payload'] as Fields;
  return {
    ...event,
    payload: {
      ...payload,
      checkpoint: checkpointOf(payload['config'] as { configurable: Fields }),
      parent_checkpoint: checkpointOf(parentConfig as { configurable: Fields } | undefined),
      parent_config: parentConfig,
    },
  };
}
