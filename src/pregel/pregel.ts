/**
 * A Pregel application: actors and channels that can be run (seed 004). StateGraph and entrypoint
 * compile to it; it can be built directly as well.
 */
import { z } from 'zod';
import type { Actor } from './actor.ts';
import { runGraph } from './begin.ts';
import type { BaseChannel } from './channels/channel.ts';
import {
  checkpointAddress,
  type Checkpointer,
  type CheckpointConfig,
  type CheckpointListOptions,
} from './checkpoint.ts';
import { systemClock } from './clock.ts';
import type { Command } from './control.ts';
import { drawGraph, toMermaid, type DrawnGraph } from './draw.ts';
import type { RunResult } from './loop.ts';
import { hasPregelMark, PREGEL } from './mark.ts';
import { commandWrites, inputWrites, runOptions, schemaOf } from './pregel-input.ts';
import type { CallOptions, GraphSchemas, PregelOptions, StreamOptions } from './pregel-options.ts';
import type { GraphSpec } from './run-options.ts';
import {
  noState,
  viewHistory,
  viewState,
  type StateReader,
  type StateSnapshot,
} from './state-view.ts';
import type { StreamSink } from './stream-modes.ts';
import { StreamQueue } from './stream-queue.ts';
import { CheckpointerMissingError } from './task-context.ts';
import { buildTopology, GraphInvalidError } from './topology.ts';
import { updateState } from './update-state.ts';

export class Pregel<Input = unknown, Output = unknown> implements StateReader {
  readonly name: string;
  readonly nodes: Readonly<Record<string, Actor>>;
  readonly channels: Readonly<Record<string, BaseChannel>>;
  readonly checkpointer: Checkpointer | false | undefined;
  readonly schemas: Required<GraphSchemas>;
  readonly spec: GraphSpec;
  readonly #options: PregelOptions;

  /** @throws {GraphInvalidError} when an actor or the options name a channel or actor that is not there */
  constructor(options: PregelOptions) {
    this.#options = options;
    this.name = options.name ?? 'Pregel';
    this.nodes = options.nodes;
    this.channels = options.channels;
    this.checkpointer = options.checkpointer;
    Object.defineProperty(this, PREGEL, { value: true });
    const topology = buildTopology(options.nodes, options.channels);
    const streamed = options.streamChannels ?? Object.keys(options.channels);
    for (const selection of [options.inputChannels, options.outputChannels, streamed]) {
      for (const name of typeof selection === 'string' ? [selection] : selection) {
        if (!topology.channelByName.has(name)) {
          throw new GraphInvalidError(`"${name}" is no channel of "${this.name}"`);
        }
      }
    }
    const { outputChannels } = options;
    const outputs = (typeof outputChannels === 'string' ? [outputChannels] : outputChannels).map(
      (name) => topology.channelByName.get(name)!,
    );
    this.schemas = {
      input: options.schemas?.input ?? schemaOf(options.inputChannels, options.channels),
      output: options.schemas?.output ?? schemaOf(options.outputChannels, options.channels),
      state: options.schemas?.state ?? schemaOf(streamed, options.channels),
      context: options.schemas?.context,
    };
    this.spec = {
      name: this.name,
      topology,
      input: options.inputChannels,
      output: options.outputChannels,
      outputs: new Set(outputs),
      transientOutput: outputs.some((index) => topology.transient[index] === true),
      streamed,
      interruptBefore: options.interruptBefore ?? [],
      interruptAfter: options.interruptAfter ?? [],
      retry: options.retry,
      stepTimeoutMs: options.stepTimeoutMs,
      inputWrites: (input) => inputWrites(options, input),
      commandWrites: (command) => commandWrites(options, command),
    };
  }

  /**
   * Runs to the end or the next interrupt.
   * @param input null goes on from the thread's state; a Command resumes, updates or goes somewhere
   * @returns what the output channels hold, with `__interrupt__` when the run was interrupted
   */
  async invoke(input: Input | Command | null, options: CallOptions = {}): Promise<Output> {
    const { output } = await this.execute(input, options);
    return output as Output;
  }

  /** Like `invoke`, for callers that bring their own receiver of events. */
  execute(input: unknown, options: CallOptions = {}, sink?: StreamSink): Promise<RunResult> {
    return runGraph(this.spec, runOptions(this.#options, input, options, sink));
  }

  /**
   * Runs and gives events as they happen. One mode: its payloads; a list of modes: `[mode, payload]`;
   * with `subgraphs`, a namespace before that. Leaving the loop early cancels the run.
   */
  async *stream(input: Input | Command | null, options: StreamOptions = {}): AsyncGenerator {
    const { streamMode = 'updates', subgraphs = false } = options;
    const modes = typeof streamMode === 'string' ? [streamMode] : streamMode;
    const queue = new StreamQueue(modes, subgraphs);
    const left = new AbortController();
    const signal =
      options.signal === undefined ? left.signal : AbortSignal.any([options.signal, left.signal]);
    const run = this.execute(input, { ...options, signal }, queue).then(
      () => {
        queue.end({});
      },
      (error: unknown) => {
        queue.end({ error });
      },
    );
    try {
      for await (const { namespace, mode, payload } of queue) {
        if (subgraphs) {
          yield typeof streamMode === 'string' ? [namespace, payload] : [namespace, mode, payload];
        } else yield typeof streamMode === 'string' ? payload : [mode, payload];
      }
    } finally {
      left.abort(new Error('the consumer left the stream'));
      queue.end({});
      await run;
    }
  }

  /** The thread's latest state, or the one of `configurable.checkpoint_id`. */
  async getState(
    options: CallOptions,
    { subgraphs = false }: { subgraphs?: boolean } = {},
  ): Promise<StateSnapshot> {
    const { checkpointer, config, app } = this.#address(options);
    return app.snapshot(checkpointer, config, subgraphs);
  }

  /** Every checkpoint of the thread, newest first. */
  async *getStateHistory(
    options: CallOptions,
    list: CheckpointListOptions = {},
  ): AsyncGenerator<StateSnapshot> {
    const { checkpointer, config, app } = this.#address(options);
    const { ns } = checkpointAddress(config);
    yield* viewHistory(app.spec, checkpointer, config, ns, list);
  }

  /**
   * Changes the thread's state as if `asNode` (default: the actor that ran last) had returned `values`.
   * @returns the config of the new checkpoint
   */
  async updateState(
    options: CallOptions,
    values: unknown,
    asNode?: string,
  ): Promise<CheckpointConfig> {
    const { checkpointer, config, app } = this.#address(options);
    const { threadId, ns } = checkpointAddress(config);
    return updateState(
      app.spec,
      {
        checkpointer,
        config,
        threadId: threadId!,
        ns,
        metadata: options.metadata ?? {},
        clock: options.clock ?? this.#options.clock ?? systemClock,
      },
      app.#options.parseUpdate?.(values) ?? values,
      asNode,
    );
  }

  async snapshot(
    checkpointer: Checkpointer,
    config: CheckpointConfig,
    subgraphs: boolean,
  ): Promise<StateSnapshot> {
    const tuple = await checkpointer.getTuple(config);
    if (tuple === undefined) return noState(config);
    const { ns, id } = checkpointAddress(config);
    return viewState(this.spec, tuple, {
      ns,
      latest: id === undefined,
      subgraphs: subgraphs ? checkpointer : undefined,
    });
  }

  /** Graphs inside this one's actors, by actor name; `recurse`: deeper ones as `outer|inner`. */
  subgraphs(recurse = false): [string, Pregel][] {
    const found: [string, Pregel][] = [];
    for (const [name, actor] of Object.entries(this.nodes)) {
      if (!isPregel(actor.subgraph)) continue;
      found.push([name, actor.subgraph]);
      if (!recurse) continue;
      for (const [inner, graph] of actor.subgraph.subgraphs(true)) {
        found.push([`${name}|${inner}`, graph]);
      }
    }
    return found;
  }

  /** @param depth levels of subgraphs to open */
  draw(depth = 0): DrawnGraph {
    return drawGraph(
      { name: this.name, nodes: this.nodes, input: this.spec.input, output: this.spec.output },
      depth,
    );
  }

  /** Mermaid text. */
  mermaid(depth = 0): string {
    return toMermaid(this.draw(depth));
  }

  /** JSON Schema (draft 7) of input, output, state and context; null where the graph declares none. */
  jsonSchemas(): Record<'input' | 'output' | 'state' | 'context', unknown> {
    const json = (schema: z.ZodType | undefined): unknown =>
      schema === undefined
        ? null
        : z.toJSONSchema(schema, { target: 'draft-7', unrepresentable: 'any', io: 'input' });
    const { input, output, state, context } = this.schemas;
    return {
      input: json(input),
      output: json(output),
      state: json(state),
      context: json(context),
    };
  }

  /** The graph that owns a config's namespace, and the saver that has its states. */
  #address(options: CallOptions): {
    checkpointer: Checkpointer;
    config: CheckpointConfig;
    app: Pregel;
  } {
    const own = this.checkpointer === false ? undefined : this.checkpointer;
    const checkpointer = options.checkpointer ?? own;
    const config = { configurable: { checkpoint_ns: '', ...options.configurable } };
    const { threadId, ns } = checkpointAddress(config);
    if (checkpointer === undefined || threadId === undefined) {
      throw new CheckpointerMissingError(
        `"${this.name}" has no ${checkpointer === undefined ? 'checkpointer' : 'configurable.thread_id'} to read state with`,
      );
    }
    return { checkpointer, config, app: this.#owner(ns) };
  }

  #owner(ns: string): Pregel {
    let app = this as Pregel;
    for (const part of ns === '' ? [] : ns.split('|')) {
      // A number counts the graphs that one actor ran; they are the same graph.
      if (/^\d+$/.test(part)) continue;
      const inner = app.nodes[part.split(':')[0]!]?.subgraph;
      if (!isPregel(inner)) {
        throw new GraphInvalidError(`"${this.name}" has no graph at "${ns}"`);
      }
      app = inner;
    }
    return app;
  }
}

/** True for a Pregel application. */
export const isPregel = (value: unknown): value is Pregel => hasPregelMark(value);
