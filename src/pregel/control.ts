/**
 * Values that steer a graph instead of being data: `Send`, `Command`, and what an interrupt is.
 *
 * They are recognised by a marker, not by class, so that they survive a checkpoint (JSON) and two
 * copies of this package in one process. The markers are LangGraph's: its packets are understood.
 */

/** One extra task in the next step: runs `node` with `args` as its input. */
export class Send<Node extends string = string, Args = unknown> {
  readonly lg_name = 'Send';
  readonly node: Node;
  readonly args: Args;

  constructor(node: Node, args: Args) {
    this.node = node;
    this.args = args;
  }
}
export const isSend = (value: unknown): value is Send =>
  typeof value === 'object' &&
  value !== null &&
  (value as Partial<Send>).lg_name === 'Send' &&
  typeof (value as Partial<Send>).node === 'string';

export type Goto<Node extends string = string> = Node | Send<Node> | readonly (Node | Send<Node>)[];

export interface CommandFields<Node extends string = string, Update = unknown> {
  /** State update, as a node would return it. */
  update?: Update;
  /** Nodes or Sends to run next, beside those the edges choose. */
  goto?: Goto<Node>;
  /**
   * Input only: what `interrupt()` returns. Either the value for the first interrupt that asks, or
   * a map from interrupt id to value.
   */
  resume?: unknown;
  /** `Command.PARENT`: update and goto belong to the graph around this one. */
  graph?: typeof Command.PARENT;
}

/** Returned by a node: update the state and choose where to go. Given as input: resume, update, go. */
export class Command<Node extends string = string, Update = unknown> {
  static readonly PARENT = '__parent__';
  readonly lg_name = 'Command';
  readonly update?: Update;
  readonly goto?: Goto<Node>;
  readonly resume?: unknown;
  readonly graph?: typeof Command.PARENT;

  constructor(fields: CommandFields<Node, Update>) {
    if (fields.update !== undefined) this.update = fields.update;
    if (fields.goto !== undefined) this.goto = fields.goto;
    if (fields.resume !== undefined) this.resume = fields.resume;
    if (fields.graph !== undefined) this.graph = fields.graph;
  }
}
export const isCommand = (value: unknown): value is Command =>
  typeof value === 'object' && value !== null && (value as Partial<Command>).lg_name === 'Command';

/** `goto` as a list. */
export function gotoList(target: Goto | undefined): readonly (string | Send)[] {
  if (target === undefined) return [];
  return Array.isArray(target) ? (target as (string | Send)[]) : [target as string | Send];
}

/** What an interrupted run shows: answer it with `new Command({ resume: { [id]: value } })`. */
export interface Interrupt<T = unknown> {
  /** 32 hex digits; the same on every attempt at the same task. */
  readonly id: string;
  readonly value: T;
}

/** True for the output of a run that stopped at an interrupt. */
export const isInterrupted = (output: unknown): output is { __interrupt__: Interrupt[] } =>
  typeof output === 'object' && output !== null && '__interrupt__' in output;

/**
 * Thrown by `interrupt()` to leave the actor. Not an error: the step's other actors go on, the run
 * stops after them. Code that catches everything must let it pass (`isControlSignal`).
 */
export class GraphInterrupt extends Error {
  readonly interrupts: readonly Interrupt[];

  constructor(interrupts: readonly Interrupt[]) {
    super('the graph was interrupted');
    this.name = 'GraphInterrupt';
    this.interrupts = interrupts;
  }
}

/** Thrown by a subgraph whose node returned a Command for the graph around it. */
export class ParentCommand extends Error {
  readonly command: Command;

  constructor(command: Command) {
    super('a command for the parent graph');
    this.name = 'ParentCommand';
    this.command = command;
  }
}

/** True for what leaves an actor without being a failure of it. */
export const isControlSignal = (thrown: unknown): thrown is GraphInterrupt | ParentCommand =>
  thrown instanceof GraphInterrupt || thrown instanceof ParentCommand;
