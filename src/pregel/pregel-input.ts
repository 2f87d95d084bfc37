/** From what a caller passes to what a run is given: validated input, command writes, options. */
import { z } from 'zod';
import { AppError } from '../errors.ts';
import { currentActor } from './ambient.ts';
import type { BaseChannel } from './channels/channel.ts';
import type { PendingWrite } from './checkpoint.ts';
import { systemClock } from './clock.ts';
import { gotoList, isSend, type Command } from './control.ts';
import type { Selection } from './events.ts';
import { DEFAULT_RECURSION_LIMIT, type CallOptions, type PregelOptions } from './pregel-options.ts';
import { TASKS } from './reserved.ts';
import type { RunOptions } from './run-options.ts';
import type { StreamSink } from './stream-modes.ts';

/** A run's input is not of the graph's input type. */
export class InputInvalidError extends AppError {
  readonly code = 'input_invalid' as const;
}

/** @throws {InputInvalidError} */
export function inputWrites(app: PregelOptions, input: unknown): PendingWrite[] {
  const { inputChannels, parseInput } = app;
  const parsed = parseInput === undefined ? input : parseInput(input);
  if (typeof inputChannels === 'string') {
    return [[inputChannels, parsedFor(app, inputChannels, parsed)]];
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new InputInvalidError(
      `the input must be an object with some of: ${inputChannels.join(', ')}`,
    );
  }
  const values = parsed as Record<string, unknown>;
  return Object.keys(values)
    .filter((key) => inputChannels.includes(key))
    .map((key) => [key, parsedFor(app, key, values[key])]);
}

/** Validates one channel's input, when the graph has no parser of its own. */
function parsedFor(app: PregelOptions, name: string, value: unknown): unknown {
  const channel = app.channels[name];
  if (app.parseInput !== undefined || channel?.schema === undefined) return value;
  // An update of these may be of another type than the value.
  if (channel.kind === 'BinaryOperatorAggregate') return value;
  const one = channel.kind === 'Topic' && !Array.isArray(value);
  const result = channel.schema.safeParse(one ? [value] : value);
  if (result.success) return result.data;
  throw new InputInvalidError(`input "${name}": ${z.prettifyError(result.error)}`);
}

/** The writes of a command's goto and update. @throws {InputInvalidError} */
export function commandWrites(app: PregelOptions, command: Command): PendingWrite[] {
  const writes: PendingWrite[] = [];
  for (const target of gotoList(command.goto)) {
    const node = isSend(target) ? target.node : target;
    const wake = isSend(target) ? TASKS : app.wakeUp?.(node);
    if (app.nodes[node] === undefined || wake === undefined) {
      throw new InputInvalidError(`a command cannot go to "${node}" in this graph`);
    }
    writes.push([wake, isSend(target) ? target : null]);
  }
  const { update } = command;
  if (update === undefined || update === null) return writes;
  const pairs = Array.isArray(update) ? Object.fromEntries(update as [string, unknown][]) : update;
  const parsed = app.parseUpdate === undefined ? pairs : app.parseUpdate(pairs);
  for (const [key, value] of Object.entries(parsed as Record<string, unknown>)) {
    if (value !== undefined && Object.hasOwn(app.channels, key)) writes.push([key, value]);
  }
  return writes;
}

/** Inside an actor, a graph is part of the run around it, and takes over what it does not set. */
export function runOptions(
  app: PregelOptions,
  input: unknown,
  options: CallOptions,
  sink: StreamSink | undefined,
): RunOptions {
  const { configurable = {}, metadata = {}, tags = [] } = options;
  const own = app.checkpointer === false ? undefined : app.checkpointer;
  const outer = currentActor();
  if (outer !== undefined) {
    const around = outer.host.nestedRun(outer);
    return {
      ...around,
      interruptBefore: options.interruptBefore,
      interruptAfter: options.interruptAfter,
      input,
      checkpointer:
        app.checkpointer === false ? undefined : (options.checkpointer ?? around.checkpointer),
      config: {
        configurable: { ...around.config.configurable, ...configurable },
        metadata: { ...around.config.metadata, ...metadata },
        tags: [...around.config.tags, ...tags],
      },
      context: options.context ?? around.context,
      signal: options.signal ?? around.signal,
      stepsMax: options.recursionLimit ?? around.stepsMax,
      sink: sink ?? around.sink,
      checkpointId: undefined,
      idleIsError: false,
    };
  }
  const text = (key: string): string | undefined => {
    const value = configurable[key];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  // A literal without spread: with one, V8 made a slow object of it (13 µs a run).
  return {
    interruptBefore: options.interruptBefore,
    interruptAfter: options.interruptAfter,
    input,
    checkpointer: options.checkpointer ?? own,
    durability: options.durability ?? 'async',
    threadId: text('thread_id'),
    ns: '',
    checkpointId: text('checkpoint_id'),
    runId: text('run_id'),
    config: { configurable, metadata, tags },
    context: options.context,
    clock: options.clock ?? app.clock ?? systemClock,
    signal: options.signal,
    stepsMax: options.recursionLimit ?? DEFAULT_RECURSION_LIMIT,
    maxConcurrency: options.maxConcurrency ?? Infinity,
    sink,
    parent: undefined,
    idleIsError: options.idleIsError ?? false,
  };
}

/** The type of some channels' values, as far as they declare it. */
export function schemaOf(
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
