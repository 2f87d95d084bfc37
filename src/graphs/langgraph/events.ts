/**
 * LangGraph.js's stream chunks as the events of the API (HTTP.md, 3.7). One instance per execution; it
 * also notes what the last state was, so that a run that simply ends needs no look at its checkpoint.
 */
import type { EventSink, StreamMode } from '../port.ts';
import type { LangGraphConfig } from './compiled.ts';
import { checkpointOf, shownKeys } from './state.ts';
import type { RunTranslator } from './translator.ts';

export const INTERRUPT = '__interrupt__';

type Fields = Record<string, unknown>;
const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

/** A message chunk of a streaming model can be appended to; a whole message cannot. */
interface MessageChunk {
  id?: string;
  concat(next: unknown): MessageChunk;
}

export interface EventOptions {
  readonly modes: readonly StreamMode[];
  readonly subgraphs: boolean;
}

export class EventTranslator implements RunTranslator {
  /** The state after the last superstep of the root graph; `undefined`: none was shown. */
  lastValues: unknown;
  /** What the last `values` event of the root graph said, `{__interrupt__: […]}` included. */
  lastOutput: unknown;
  /** The graph stopped at an interrupt, here or in a subgraph. */
  interrupted = false;
  readonly #modes: ReadonlySet<StreamMode>;
  readonly #subgraphs: boolean;
  readonly #sink: EventSink;
  readonly #partial = new Map<string, MessageChunk>();
  readonly #complete = new Set<string>();

  constructor(sink: EventSink, options: EventOptions) {
    this.#sink = sink;
    this.#modes = new Set(options.modes);
    this.#subgraphs = options.subgraphs;
  }

  get streamOptions(): RunTranslator['streamOptions'] {
    const options = { streamMode: this.#libraryModes(), subgraphs: this.#subgraphs };
    // Makes LangGraph.js add the light `checkpoints` chunk before each values chunk, as clients know it.
    return this.#subgraphs && this.#showsValues() ? { ...options, version: 'v2' } : options;
  }

  /** `values` always: it costs no more than a push. */
  #libraryModes(): string[] {
    const modes = new Set<string>(['values']);
    for (const mode of this.#modes)
      if (mode === 'messages-tuple') modes.add('messages');
      else if (mode !== 'events') modes.add(mode);
    return [...modes];
  }

  /** Clients that see values, or whole messages out of them, also get a light `checkpoints` event with each. */
  #showsValues(): boolean {
    return this.#modes.has('values') || this.#modes.has('messages');
  }

  /** @param chunk `[namespace, mode, payload]` when streaming subgraphs, else `[mode, payload]` */
  chunk(chunk: unknown): void {
    const [ns, mode, payload] = (this.#subgraphs ? chunk : [[], ...(chunk as unknown[])]) as [
      string[],
      StreamMode,
      unknown,
    ];
    switch (mode) {
      case 'values':
        this.#values(ns, payload);
        break;
      case 'messages':
        if (this.#modes.has('messages-tuple')) this.#emit('messages', ns, payload);
        if (this.#modes.has('messages')) this.#partialMessage(payload as [unknown, Fields]);
        break;
      case 'checkpoints':
        this.#checkpoint(ns, payload as Fields);
        break;
      case 'debug':
        this.#emit('debug', ns, debugOf(payload as Fields));
        break;
      case 'tasks':
        this.#emit('tasks', ns, taskOf(payload));
        break;
      case 'updates':
      case 'custom':
      case 'tools':
        this.#emit(mode, ns, payload);
        break;
      case 'messages-tuple':
      case 'events':
        break; // never asked for
    }
  }

  /** An event of `streamEvents` v2 that is not a stream chunk of the root graph. */
  raw(event: unknown): void {
    this.#sink.emit('events', event);
  }

  breakpoint(): void {
    const interrupt = { [INTERRUPT]: [] };
    if (this.#modes.has('updates')) this.#sink.emit('updates', interrupt);
    this.#values([], interrupt);
  }

  finish(): Promise<void> {
    return Promise.resolve();
  }

  fail(): void {
    // The worker writes the error.
  }

  #emit(mode: string, ns: readonly string[], data: unknown): void {
    this.#sink.emit(ns.length === 0 ? mode : `${mode}|${ns.join('|')}`, data);
  }

  #values(ns: readonly string[], values: unknown): void {
    const isInterrupt = isFields(values) && Object.hasOwn(values, INTERRUPT);
    if (isInterrupt) this.interrupted = true;
    if (ns.length === 0) {
      this.lastOutput = values;
      if (!isInterrupt) this.lastValues = values;
    }
    if (this.#modes.has('values')) this.#emit('values', ns, values);
    if (this.#modes.has('messages') && isFields(values)) this.#completeMessages(values['messages']);
  }

  #partialMessage([message, metadata]: [unknown, Fields]): void {
    if (!isFields(message) || typeof message['concat'] !== 'function') return;
    const chunk = message as unknown as MessageChunk;
    if (chunk.id === undefined) return;
    const known = this.#partial.get(chunk.id);
    if (known === undefined) {
      const shown = without(metadata, ['tags', 'name']);
      this.#sink.emit('messages/metadata', { [chunk.id]: { metadata: shown } });
    }
    const whole = known === undefined ? chunk : known.concat(chunk);
    this.#partial.set(chunk.id, whole);
    this.#sink.emit('messages/partial', [whole]);
  }

  /** A message is complete once it is in the state. */
  #completeMessages(value: unknown): void {
    const messages = Array.isArray(value) ? (value as unknown[]) : [value];
    const fresh = messages.filter((message) => {
      const id = isFields(message) ? message['id'] : undefined;
      if (typeof id !== 'string' || this.#complete.has(id)) return false;
      this.#complete.add(id);
      this.#partial.delete(id);
      return true;
    });
    if (fresh.length > 0) this.#sink.emit('messages/complete', fresh);
  }

  #checkpoint(ns: readonly string[], payload: Fields): void {
    const asked = this.#modes.has('checkpoints');
    // `{id, parent_id, step, source}` comes beside values chunks while nobody asked for checkpoints.
    if (isEnvelope(payload)) {
      if (!asked && this.#showsValues()) this.#emit('checkpoints', ns, payload);
      return;
    }
    const { values, metadata, next } = payload;
    this.#emit('checkpoints', ns, { values, metadata, next });
  }
}

const isEnvelope = (payload: Fields): boolean => 'id' in payload && !('values' in payload);

function debugOf(chunk: Fields): Fields {
  const { payload } = chunk;
  if (chunk['type'] === 'checkpoint')
    return { ...chunk, payload: debugCheckpointOf(payload as Fields) };
  return { ...chunk, payload: taskOf(payload) };
}

function debugCheckpointOf(payload: Fields): Fields {
  const { parentConfig, config, tasks, ...rest } = payload as Fields & {
    config: LangGraphConfig;
    parentConfig?: LangGraphConfig;
    tasks: unknown[];
  };
  return {
    ...rest,
    config: publicConfig(config),
    tasks: tasks.map(taskOf),
    checkpoint: checkpointOf(config),
    parent_checkpoint: checkpointOf(parentConfig),
    parent_config: publicConfig(parentConfig),
  };
}

function publicConfig(config: LangGraphConfig | undefined): Fields | undefined {
  if (config === undefined) return undefined;
  return { ...without(config, ['callbacks']), configurable: shownKeys(config.configurable) };
}

function without(fields: Fields, keys: readonly string[]): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => !keys.includes(key)));
}

/** A task whose subgraph has a state of its own says where, under `checkpoint`. */
function taskOf(task: unknown): unknown {
  if (!isFields(task) || !isFields(task['state'])) return task;
  const { state, ...rest } = task;
  const { configurable } = state as LangGraphConfig;
  if (configurable === undefined) return task;
  const { thread_id, checkpoint_id, checkpoint_ns, checkpoint_map } = configurable;
  return {
    ...rest,
    checkpoint: {
      thread_id,
      checkpoint_id: checkpoint_id ?? null,
      checkpoint_ns: checkpoint_ns ?? '',
      checkpoint_map: checkpoint_map ?? null,
    },
  };
}
