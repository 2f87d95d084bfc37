/** The public names of the Pregel runtime. docs/pregel.md teaches them. */
export type { Actor, ActorContext, ActorInput, EffectOptions, Writer } from './actor.ts';
export {
  ActorBuilder,
  Channel,
  ChannelWrite,
  type ActorSettings,
  type ChannelWriteEntry,
} from './actor-builder.ts';
export { effect, getContext, interrupt, NotInActorError } from './ambient.ts';
export { ActorTimeoutError } from './attempts.ts';
export { EmptyInputError } from './begin.ts';
export { AfterFinish, Barrier } from './channels/barrier.ts';
export {
  BinaryOperatorAggregate,
  overwrite,
  type Overwrite,
} from './channels/binary-operator-aggregate.ts';
export { BaseChannel, EMPTY, InvalidUpdateError, type Empty } from './channels/channel.ts';
export { Context, type ContextOptions } from './channels/context.ts';
export { EphemeralValue } from './channels/ephemeral-value.ts';
export { LastValue, UntrackedValue } from './channels/last-value.ts';
export { Topic, type TopicOptions } from './channels/topic.ts';
export type {
  Checkpoint,
  Checkpointer,
  CheckpointConfig,
  CheckpointListOptions,
  CheckpointMetadata,
  CheckpointPendingWrite,
  CheckpointTuple,
  PendingWrite,
} from './checkpoint.ts';
export { systemClock, type Clock } from './clock.ts';
export {
  Command,
  GraphInterrupt,
  isCommand,
  isControlSignal,
  isInterrupted,
  isSend,
  Send,
  type Goto,
  type Interrupt,
} from './control.ts';
export type { DrawnEdge, DrawnGraph, DrawnNode } from './draw.ts';
export { EffectUnknownError } from './effects.ts';
export type { TaskView } from './events.ts';
export {
  entrypoint,
  Final,
  getPrevious,
  task,
  type EntrypointOptions,
  type TaskOptions,
} from './functional.ts';
export type {
  CompileOptions,
  NodeFunction,
  NodeOptions,
  NodeResult,
  Route,
  RouteFunction,
} from './graph-declaration.ts';
export { GraphRecursionError, type RunResult } from './loop.ts';
export { MemoryCheckpointer } from './memory-checkpointer.ts';
export { isMessage, mergeMessages, messageSchema, type Message } from './messages.ts';
export type { Durability } from './persister.ts';
export { InputInvalidError } from './pregel-input.ts';
export {
  DEFAULT_RECURSION_LIMIT,
  type CallOptions,
  type GraphSchemas,
  type PregelOptions,
  type StreamOptions,
} from './pregel-options.ts';
export { isPregel, Pregel } from './pregel.ts';
export { END, START } from './reserved.ts';
export type { RetryPolicy } from './retry.ts';
export type { StopAt } from './run-options.ts';
export { StateGraph, type InputOf, type StateGraphOptions } from './state-graph.ts';
export {
  messages,
  reduced,
  untracked,
  type Reduced,
  type ReducedOptions,
  type StateOf,
  type StateSchema,
  type UpdateOf,
} from './state-schema.ts';
export type { StateSnapshot } from './state-view.ts';
export { StepTimeoutError } from './step.ts';
export { PREGEL_STREAM_MODES, type PregelStreamMode, type StreamSink } from './stream-modes.ts';
export { CheckpointerMissingError } from './task-context.ts';
export { GraphInvalidError } from './topology.ts';
