/**
 * LangGraph.js's stream transformers, run over the events of one execution: the library's own lifecycle
 * of subgraphs, and those that a project compiled into its graph. The library's own way of running them
 * (streamEvents v3) keeps every event of the run in memory and never waits for its reader; here events
 * pass through, and the caller decides when the graph goes on.
 */
import { createLifecycleTransformer } from '@langchain/langgraph';
import type { ProtocolEvent, StreamTransformer } from '@langchain/langgraph';
import { isStreamChannel } from '@langchain/langgraph/stream';

/** What the library gives a channel's owner; not in its public types. */
interface WiredChannel {
  readonly channelName?: string;
  _wire(listener: (item: unknown) => void): void;
  _close(): void;
  _fail(error: unknown): void;
}

export type TransformerFactory = () => StreamTransformer;

export interface PipelineOptions {
  /** Of the graph's author; they run after ours. */
  readonly factories: readonly TransformerFactory[];
  /** How open subgraphs end when the run does. */
  terminalStatus(): 'completed' | 'interrupted';
  emit(event: ProtocolEvent): void;
}

export class ProtocolPipeline {
  readonly #options: PipelineOptions;
  readonly #transformers: StreamTransformer[] = [];
  readonly #channels: WiredChannel[] = [];
  readonly #finalValues: { name: string; value: Promise<unknown> }[] = [];
  /** Of the event in hand: what transformers derive from it belongs there. */
  #namespace: string[] = [];

  constructor(options: PipelineOptions) {
    this.#options = options;
    const lifecycle = createLifecycleTransformer({
      // The worker tells of the root: only it knows how the run really ended.
      emitRootOnRegister: false,
      getTerminalStatusOverride: () => Promise.resolve(options.terminalStatus()),
    });
    lifecycle.init();
    this.#register(lifecycle);
    for (const factory of options.factories) {
      const transformer = factory();
      this.#register(transformer);
      this.#wire(transformer.init());
    }
  }

  push(namespace: string[], event: ProtocolEvent): void {
    const outer = this.#namespace;
    this.#namespace = namespace;
    let keep = true;
    for (const transformer of this.#transformers) if (!transformer.process(event)) keep = false;
    this.#namespace = outer;
    if (keep) this.#options.emit(event);
  }

  async finish(): Promise<void> {
    for (const transformer of this.#transformers) await transformer.finalize?.();
    for (const channel of this.#channels) channel._close();
    for (const { name, value } of this.#finalValues)
      await value.then(
        (payload) => {
          this.#custom(name, payload, []);
        },
        // A projection that failed has no final value.
        () => undefined,
      );
  }

  fail(error: unknown): void {
    for (const transformer of this.#transformers) transformer.fail?.(error);
    for (const channel of this.#channels) channel._fail(error);
  }

  #register(transformer: StreamTransformer): void {
    this.#transformers.push(transformer);
    transformer.onRegister?.({
      push: (namespace, event) => {
        this.push(namespace, event);
      },
    });
  }

  /** A projection's named channels and promised values are told to clients as custom events of that name. */
  #wire(projection: unknown): void {
    if (typeof projection !== 'object' || projection === null || '__native' in projection) return;
    for (const [key, value] of Object.entries(projection as Record<string, unknown>)) {
      if (isStreamChannel(value)) {
        const channel = value as unknown as WiredChannel;
        this.#channels.push(channel);
        const { channelName } = channel;
        if (typeof channelName === 'string')
          channel._wire((item) => {
            this.#custom(channelName, item, this.#namespace);
          });
      } else if (isPromiseLike(value)) {
        const promised = Promise.resolve(value);
        promised.catch(() => undefined);
        this.#finalValues.push({ name: key, value: promised });
      }
    }
  }

  #custom(name: string, payload: unknown, namespace: string[]): void {
    this.#options.emit({
      type: 'event',
      seq: 0,
      method: 'custom',
      params: { namespace, timestamp: Date.now(), data: { name, payload } },
    });
  }
}

const isPromiseLike = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' &&
  value !== null &&
  'then' in value &&
  typeof value.then === 'function';
