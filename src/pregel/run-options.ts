/** What a loop is given: the graph's fixed part, and the options of one run. */
import type { ActorConfig } from './actor.ts';
import type { Checkpointer, PendingWrite } from './checkpoint.ts';
import type { Clock } from './clock.ts';
import type { Command } from './control.ts';
import type { Selection } from './events.ts';
import type { Durability } from './persister.ts';
import type { Resume } from './resume.ts';
import type { RetryPolicy } from './retry.ts';
import type { StreamSink } from './stream-modes.ts';
import type { Topology } from './topology.ts';

/** Actors to stop at: all that are shown, or these. */
export type StopAt = '*' | readonly string[];

/** A graph, compiled. */
export interface GraphSpec {
  readonly name: string;
  readonly topology: Topology;
  readonly input: Selection;
  readonly output: Selection;
  /** The output channels by number. */
  readonly outputs: ReadonlySet<number>;
  /** One of them lasts one step only. */
  readonly transientOutput: boolean;
  /** What state and checkpoints show. */
  readonly streamed: Selection;
  readonly interruptBefore: StopAt;
  readonly interruptAfter: StopAt;
  readonly retry: RetryPolicy | undefined;
  readonly stepTimeoutMs: number | undefined;
  /** Validates at the boundary. @returns the writes of a run's input; none: there was no input */
  inputWrites(input: unknown): PendingWrite[];
  /** The writes of a Command's update and goto. */
  commandWrites(command: Command): PendingWrite[];
}

/** One run of a graph. */
export interface RunOptions {
  readonly input: unknown;
  readonly checkpointer: Checkpointer | undefined;
  readonly durability: Durability;
  readonly threadId: string | undefined;
  /** Checkpoint namespace: '' at the root, `node:task id` joined by `|` below. */
  readonly ns: string;
  /** Where to start; undefined: the latest. */
  readonly checkpointId: string | undefined;
  readonly runId: string | undefined;
  readonly config: ActorConfig;
  readonly context: unknown;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  /** Supersteps this run may take. */
  readonly stepsMax: number;
  readonly maxConcurrency: number;
  readonly interruptBefore: StopAt | undefined;
  readonly interruptAfter: StopAt | undefined;
  readonly sink: StreamSink | undefined;
  /** Set for a graph that runs inside a task of another. */
  readonly parent: ParentRun | undefined;
  /** Going on from a finished state is an error instead of doing nothing. */
  readonly idleIsError: boolean;
}

/** What a nested run shares with the run around it. */
export interface ParentRun {
  readonly resume: Resume;
  /** Namespace → checkpoint id of the graphs around. */
  readonly parents: Readonly<Record<string, string>>;
  /** Settles when the checkpoints of the graphs around are stored, whatever the durability. */
  makeDurable(): Promise<void>;
}

/** What a graph that runs inside an actor takes over from the run around it. */
export type NestedRun = Omit<
  RunOptions,
  'input' | 'checkpointId' | 'interruptBefore' | 'interruptAfter' | 'idleIsError'
>;
