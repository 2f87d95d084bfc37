/**
 * A Pregel application: actors and channels that can be run (seed 004). StateGraph and entrypoint
 * compile to it; it can be built directly as well.
 */
import { z } from 'zod';
import { AppError } from '../errors.ts';
import type { Actor } from './actor.ts';
import { currentActor } from './ambient.ts';
import { runGraph } from './begin.ts';
import type { BaseChannel } from './channels/channel.ts';
import {
  checkpointAddress,
  type Checkpointer,
  type CheckpointConfig,
  type CheckpointListOptions,
  type PendingWrite,
} from './checkpoint.ts';
import { systemClock, type Clock } from './clock.ts';
import { gotoList, isSend, type Command } from './control.ts';
import { drawGraph, toMermaid, type DrawnGraph } from './draw.ts';
import type { Selection } from './events.ts';
import type { RunResult } from './loop.ts';
import type { Durability } from './persister.ts';
import { TASKS } from './reserved.ts';
import type { RetryPolicy } from './retry.ts';
import type { GraphSpec, RunOptions, StopAt } from './run-options.ts';
import {
  noState,
  viewHistory,
  viewState,
  type StateReader,
  type StateSnapshot,
} from './state-view.ts';
import type { PregelStreamMode, StreamSink } from './stream-modes.ts';
import { StreamQueue } from './stream-queue.ts';
import { CheckpointerMissingError } from './task-context.ts';
import { buildTopology, GraphInvalidError, type Topology } from './topology.ts';
import { updateState } from './update-state.ts';

/** A run's input is not of the graph's input type. */
export class InputInvalidError extends AppError {
  readonly code = 'input_invalid' as const;
}

/** Marks applications across copies of this package: `isPregel`. */
const PREGEL = Symbol.for('millrace.pregel');

/** Steps a run may take when the caller does not say. */
export const DEFAULT_RECURSION_LIMIT = 25;

export interface PregelOptions {
  readonly name?: string;
  readonly nodes: Readonly<Record<string, Actor>>;
  readonly channels: Readonly<Record<string, BaseChannel>>;
  /** Where input goes: an object by channel, or one channel's value. */
  readonly inputChannels: Selection;
  /** What a run gives back. */
  readonly outputChannels: Selection;
  /** What state and history show. Default: all channels. */
  readonly streamChannels?: Selection;
  /** false: keeps no state, even inside a graph that does. */
  readonly checkpointer?: Checkpointer | false;
  readonly interruptBefore?: StopAt;
  readonly interruptAfter?: StopAt;
  /** For actors that have none of their own. */
  readonly retry?: RetryPolicy;
  /** Milliseconds for one superstep. */
  readonly stepTimeoutMs?: number;
  readonly clock?: Clock;
  /** Boundary types; absent: taken from the channels. */
  readonly schemas?: GraphSchemas;
  /** Validates an update from outside. Default: none. */
  readonly parseUpdate?: (values: unknown) => unknown;
  /** Validates and orders a run's input. Default: each channel's own schema. */
  readonly parseInput?: (input: unknown) => unknown;
  /** The channel that wakes an actor which a Command goes to. */
  readonly wakeUp?: (actor: string) => string;
}

/** zod types of what crosses the boundary. */
export interface GraphSchemas {
  readonly input?: z.ZodType | undefined;
  readonly output?: z.ZodType | undefined;
  readonly state?: z.ZodType | undefined;
  readonly context?: z.ZodType | undefined;
}

/** Options of one call; named as in LangGraph's RunnableConfig. */
export interface CallOptions {
  /** `thread_id` selects the thread; `checkpoint_id` an older state of it; `run_id` this run. */
  readonly configurable?: Readonly<Record<string, unknown>>;
  /** Stored with each checkpoint. */
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly tags?: readonly string[];
  /** Given to actors as `context`. */
  readonly context?: unknown;
  readonly signal?: AbortSignal;
  /** Supersteps the run may take. Default 25. */
  readonly recursionLimit?: number;
  /** Default `async`. */
  readonly durability?: Durability;
  readonly maxConcurrency?: number;
  readonly interruptBefore?: StopAt;
  readonly interruptAfter?: StopAt;
  /** Instead of the application's. */
  readonly checkpointer?: Checkpointer;
  readonly clock?: Clock;
  /** Going on from a finished state throws EmptyInputError instead of returning it. */
  readonly idleIsError?: boolean;
}

export interface StreamOptions extends CallOptions {
  /** Default: updates. */
  readonly streamMode?: PregelStreamMode | readonly PregelStreamMode[];
  /** Also show graphs inside; each item then begins with a namespace. */
  readonly subgraphs?: boolean;
}

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
      streamed,
      interruptBefore: options.interruptBefore ?? [],
      interruptAfter: options.interruptAfter ?? [],
      retry: options.retry,
      stepTimeoutMs: options.stepTimeoutMs,
      inputWrites: (input) => this.#inputWrites(input, topology),
      commandWrites: (command) => this.#commandWrites(command),
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
  execute(
    input: unknown,
    options: CallOptions = {},
    sink?: StreamSink,
  ): Promise<RunResult> {
    return runGraph(this.spec, this.#runOptions(input, options, sink));
  }

  /**
   * Runs and gives events as they happen. One mode: its payloads; a list of modes: `[mode, payload]`;
   * with `subgraphs`, a namespace before that. Leaving the loop early cancels the run.
   */
  async *stream(
    input: Input | Command | null,
    options: StreamOptions = {},
  ): AsyncGenerator<unknown> {
    const { streamMode = 'updates', subgraphs = false } = options;
    const modes = typeof streamMode === 'string' ? [streamMode] : streamMode;
    const queue = new StreamQueue(modes, subgraphs);
    const left = new AbortController();
    const signal =
      options.signal === undefined
        ? left.signal
        : AbortSignal.any([options.signal, left.signal]);
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
        threadId: threadId as string,
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

  #inputWrites(input: unknown, topology: Topology): PendingWrite[] {
    const { inputChannels, parseInput } = this.#options;
    const parsed = parseInput === undefined ? input : parseInput(input);
    if (typeof inputChannels === 'string') {
      return [[inputChannels, this.#parsed(inputChannels, parsed, topology)]];
    }
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
      throw new InputInvalidError(
        `the input of "${this.name}" must be an object with some of: ${inputChannels.join(', ')}`,
      );
    }
    const values = parsed as Record<string, unknown>;
    return Object.keys(values)
      .filter((key) => inputChannels.includes(key))
      .map((key) => [key, this.#parsed(key, values[key], topology)]);
  }

  /** Validates one channel's input, when the graph has no parser of its own. */
  #parsed(name: string, value: unknown, topology: Topology): unknown {
    if (this.#options.parseInput !== undefined) return value;
    const channel = topology.channels[topology.channelByName.get(name) as number];
    if (channel?.schema === undefined || channel.kind === 'BinaryOperatorAggregate') return value;
    const list = channel.kind === 'Topic' && !Array.isArray(value);
    const result = channel.schema.safeParse(list ? [value] : value);
    if (result.success) return result.data;
    throw new InputInvalidError(`input "${name}": ${z.prettifyError(result.error)}`);
  }

  #commandWrites(command: Command): PendingWrite[] {
    const writes: PendingWrite[] = [];
    for (const target of gotoList(command.goto)) {
      const node = isSend(target) ? target.node : target;
      if (this.nodes[node] === undefined) {
        throw new InputInvalidError(`the command goes to "${node}", which is no actor of "${this.name}"`);
      }
      if (isSend(target)) writes.push([TASKS, target]);
      else {
        const wake = this.#options.wakeUp?.(node);
        if (wake === undefined) {
          throw new InputInvalidError(`"${this.name}" has no edges that a command could take`);
        }
        writes.push([wake, null]);
      }
    }
    if (command.update !== undefined && command.update !== null) {
      const { update } = command;
      const pairs = Array.isArray(update) ? Object.fromEntries(update as [string, unknown][]) : update;
      const parsed = this.#options.parseUpdate?.(pairs) ?? pairs;
      for (const [key, value] of Object.entries(parsed as Record<string, unknown>)) {
        if (value !== undefined && Object.hasOwn(this.channels, key)) writes.push([key, value]);
      }
    }
    return writes;
  }

  #runOptions(input: unknown, options: CallOptions, sink: StreamSink | undefined): RunOptions {
    const { configurable = {} } = options;
    const text = (key: string): string | undefined => {
      const value = configurable[key];
      return typeof value === 'string' && value !== '' ? value : undefined;
    };
    const stops = {
      interruptBefore: options.interruptBefore,
      interruptAfter: options.interruptAfter,
    };
    const outer = currentActor();
    if (outer !== undefined) {
      const inherited = outer.host.nestedRun(outer);
      return {
        ...inherited,
        ...stops,
        input,
        checkpointer:
          this.checkpointer === false
            ? undefined
            : (options.checkpointer ?? inherited.checkpointer),
        config: {
          configurable: { ...inherited.config.configurable, ...configurable },
          metadata: { ...inherited.config.metadata, ...options.metadata },
          tags: [...inherited.config.tags, ...(options.tags ?? [])],
        },
        context: options.context ?? inherited.context,
        signal: options.signal ?? inherited.signal,
        stepsMax: options.recursionLimit ?? inherited.stepsMax,
        sink: sink ?? inherited.sink,
        checkpointId: undefined,
        idleIsError: false,
      };
    }
    const own = this.checkpointer === false ? undefined : this.checkpointer;
    return {
      ...stops,
      input,
      checkpointer: options.checkpointer ?? own,
      durability: options.durability ?? 'async',
      threadId: text('thread_id'),
      ns: '',
      checkpointId: text('checkpoint_id'),
      runId: text('run_id'),
      config: { configurable, metadata: options.metadata ?? {}, tags: options.tags ?? [] },
      context: options.context,
      clock: options.clock ?? this.#options.clock ?? systemClock,
      signal: options.signal,
      stepsMax: options.recursionLimit ?? DEFAULT_RECURSION_LIMIT,
      maxConcurrency: options.maxConcurrency ?? Infinity,
      sink,
      parent: undefined,
      idleIsError: options.idleIsError ?? false,
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
      const inner = app.nodes[part.split(':')[0] as string]?.subgraph;
      if (!isPregel(inner)) {
        throw new GraphInvalidError(`"${this.name}" has no graph at "${ns}"`);
      }
      app = inner;
    }
    return app;
  }
}

/** True for a Pregel application, also one made by another copy of this package. */
export const isPregel = (value: unknown): value is Pregel =>
  typeof value === 'object' && value !== null && PREGEL in value;

function schemaOf(
  selection: Selection,
  channels: Readonly<Record<string, BaseChannel>>,
): z.ZodType | undefined {
  if (typeof selection === 'string') return channels[selection]?.schema;
  const fields = selection.map((name): [string, z.ZodType] => [
    name,
    (channels[name]?.schema ?? z.unknown()).optional(),
  ]);
  return z.object(Object.fromEntries(fields));
}
