/**
 * The Pregel algorithm: plan and update (seed 004, "Overview"). Pure: no time, no I/O, no promises.
 *
 *   plan    which actors run: those that subscribe to a channel updated since they last ran,
 *           and one task per Send packet
 *   update  the writes of a step's tasks go into the channels, in the order of tasks, whatever
 *           order they finished in: first the selected actors by name, then the packets by place
 *
 * Versions make "updated since" exact across crashes: a channel has the number of its last change,
 * an actor the numbers it has seen. Both are part of the checkpoint.
 */
import type { PendingWrite } from './checkpoint.ts';
import { EMPTY, InvalidUpdateError, type BaseChannel } from './channels/channel.ts';
import { isSend } from './control.ts';
import type { Selection } from './events.ts';
import { isNote } from './reserved.ts';
import { Task } from './task.ts';
import type { ActorPlan, InputPlan, Topology } from './topology.ts';

/**
 * The live channels of a run and who has seen what. Version 0: never changed, never seen.
 *
 * Versions have a fraction of their own per run (`salt`, below 0.5): runs that go on from the same
 * checkpoint give different versions to different values, and a store may keep values by version.
 */
export class GraphState {
  readonly topology: Topology;
  readonly channels: BaseChannel[];
  readonly versions: number[];
  /** Actor → version seen, in the order of the actor's triggers. */
  readonly seen: number[][];
  /** Versions that were current when an interrupt before or after a node last stopped the graph. */
  interruptSeen: number[];
  /** Highest of `versions`. */
  version: number;
  /** Transient channels that hold a value, to be cleared after one step. */
  live: number[] = [];
  /** Channels changed by the last update; undefined after a load: look at all actors. */
  updated: number[] | undefined = undefined;
  /** Channels the last update wrote to. */
  touched: readonly number[] = [];
  readonly #salt: number;
  // Scratch space of one update, kept between steps to spare allocations.
  readonly #writes: (unknown[] | undefined)[];
  readonly #marks: Uint8Array;

  constructor(
    topology: Topology,
    channels: BaseChannel[],
    versions: number[],
    seen: number[][],
    interruptSeen: number[],
    salt: number,
  ) {
    this.#salt = salt;
    this.topology = topology;
    this.channels = channels;
    this.versions = versions;
    this.seen = seen;
    this.interruptSeen = interruptSeen;
    this.version = versions.reduce((a, b) => Math.max(a, b), 0);
    this.#writes = new Array<undefined>(channels.length).fill(undefined);
    this.#marks = new Uint8Array(topology.actors.length);
    channels.forEach((channel, index) => {
      if (channel.transient && channel.available()) this.live.push(index);
    });
  }

  /** The state of a thread that has none. */
  static empty(topology: Topology, salt: number): GraphState {
    return new GraphState(
      topology,
      topology.channels.map((channel) => channel.fresh(EMPTY)),
      topology.channels.map(() => 0),
      topology.actors.map((plan) => plan.triggers.map(() => 0)),
      topology.channels.map(() => 0),
      salt,
    );
  }

  /** @returns the tasks of the next step, in their deterministic order */
  plan(): Task[] {
    const { topology } = this;
    const tasks: Task[] = [];
    const { updated } = this;
    if (updated === undefined) {
      for (const actor of topology.actors) this.#select(actor, tasks);
    } else if (updated.length === 1) {
      // The common case: subscribers are in order already.
      for (const index of topology.subscribers[updated[0]!] as number[]) {
        this.#select(topology.actors[index]!, tasks);
      }
    } else if (updated.length > 1) {
      const candidates: number[] = [];
      for (const channel of updated) {
        for (const index of topology.subscribers[channel] as number[]) {
          if (this.#marks[index] === 1) continue;
          this.#marks[index] = 1;
          candidates.push(index);
        }
      }
      candidates.sort((a, b) => a - b);
      for (const index of candidates) {
        this.#marks[index] = 0;
        this.#select(topology.actors[index]!, tasks);
      }
    }
    const packets = this.channels[topology.tasks]!.get();
    if (packets !== EMPTY) this.#packets(packets as unknown[], tasks);
    return tasks;
  }

  #select(plan: ActorPlan, tasks: Task[]): void {
    const seen = this.seen[plan.index]!;
    let fired: number[] | undefined;
    for (let i = 0; i < plan.triggers.length; i += 1) {
      const channel = plan.triggers[i]!;
      if (this.versions[channel]! <= seen[i]!) continue;
      if (!this.channels[channel]!.available()) continue;
      if (fired === undefined) fired = [channel];
      else fired.push(channel);
    }
    if (fired === undefined) return;
    const input = this.read(plan.input);
    if (input !== EMPTY) tasks.push(new Task('pull', plan, input, fired, -1));
  }

  #packets(packets: readonly unknown[], tasks: Task[]): void {
    for (let index = 0; index < packets.length; index += 1) {
      const packet = packets[index];
      const plan = isSend(packet) ? this.topology.actorByName.get(packet.node) : undefined;
      // A packet for a node that a later version of the graph no longer has is dropped.
      if (!isSend(packet) || plan === undefined) continue;
      tasks.push(new Task('push', plan, packet.args, [], index));
    }
  }

  /** @returns an actor's input, or EMPTY when none of its channels has a value */
  read(input: InputPlan): unknown {
    const { channels } = input;
    if (input.kind === 'value') {
      for (const channel of channels) {
        const value = this.channels[channel]!.get();
        if (value !== EMPTY) return value;
      }
      return EMPTY;
    }
    const object: Record<string, unknown> = {};
    for (let i = 0; i < channels.length; i += 1) {
      const value = this.channels[channels[i]!]!.get();
      if (value !== EMPTY) object[input.keys[i]!] = value;
    }
    return object;
  }

  /** @returns the values of channels that have one, or of the one channel (undefined: none) */
  select(selection: Selection): unknown {
    const { channelByName } = this.topology;
    const value = (name: string): unknown => this.channels[channelByName.get(name)!]!.get();
    if (typeof selection === 'string') {
      const one = value(selection);
      return one === EMPTY ? undefined : one;
    }
    const object: Record<string, unknown> = {};
    for (const name of selection) {
      const one = value(name);
      if (one !== EMPTY) object[name] = one;
    }
    return object;
  }

  /**
   * The update phase. Afterwards `updated` holds the channels that changed and have a value.
   * @param tasks in the order `plan` gave; tasks without writes count as having run
   * @param input writes from outside (the run's input, a command), which are no step of their own
   * @throws {InvalidUpdateError} naming channel and writers; the state is then unusable
   */
  update(tasks: readonly Task[], input: readonly PendingWrite[] = []): void {
    const { topology, channels, versions } = this;
    const next = this.#next(this.version);
    let changed = false;
    let stepped = false;
    for (const task of tasks) {
      // A packet has no trigger channel, yet its turn is a step.
      stepped = true;
      if (task.kind !== 'pull') continue;
      const { triggers, index } = task.plan;
      const seen = this.seen[index]!;
      for (let i = 0; i < triggers.length; i += 1) {
        const channel = triggers[i]!;
        if (task.fired.includes(channel)) seen[i] = versions[channel]!;
      }
    }
    for (const task of tasks) {
      for (const channel of task.fired) {
        if (channels[channel]!.consume()) {
          versions[channel] = next;
          changed = true;
        }
      }
    }

    const touched: number[] = [];
    for (const [name, value] of input) this.#collect(name, value, touched, 'the input');
    for (const task of tasks) {
      for (const [name, value] of task.writes) this.#collect(name, value, touched, task.name);
    }
    this.touched = touched;
    const updated: number[] = [];
    const version = changed ? this.#next(next) : next;
    for (const index of touched) {
      const values = this.#writes[index]!;
      this.#writes[index] = undefined;
      const channel = channels[index]!;
      try {
        if (!channel.update(values)) continue;
      } catch (error) {
        if (error instanceof InvalidUpdateError) throw this.#blame(error, index, tasks);
        throw error;
      }
      versions[index] = version;
      changed = true;
      if (channel.available()) updated.push(index);
    }

    if (stepped) {
      for (const index of this.live) {
        if (updated.includes(index)) continue;
        if (channels[index]!.update([])) {
          versions[index] = version;
          changed = true;
        }
      }
      this.live = [];
    }
    for (const index of updated) {
      if (topology.transient[index] === true && !this.live.includes(index)) this.live.push(index);
    }
    if (changed) this.version = version;
    if (stepped && topology.deferred.length > 0 && !this.#wakes(updated)) this.#finish(updated);
    this.updated = updated;
  }

  #collect(name: string, value: unknown, touched: number[], writer: string): void {
    if (isNote(name)) return;
    const index = this.topology.channelByName.get(name);
    if (index === undefined) {
      throw new InvalidUpdateError(
        `${writer} wrote to "${name}", which is no channel of this graph`,
      );
    }
    const writes = this.#writes[index];
    if (writes !== undefined) writes.push(value);
    else {
      this.#writes[index] = [value];
      touched.push(index);
    }
  }

  /** True when one of these channels selects an actor. */
  #wakes(updated: readonly number[]): boolean {
    for (const index of updated) {
      if (index === this.topology.tasks) return true;
      if ((this.topology.subscribers[index] as number[]).length > 0) return true;
    }
    return false;
  }

  /** Nothing else would run: channels that wait for the end get their turn. */
  #finish(updated: number[]): void {
    let finished = false;
    const version = this.#next(this.version);
    for (const index of this.topology.deferred) {
      const channel = this.channels[index]!;
      if (!channel.finish()) continue;
      finished = true;
      this.versions[index] = version;
      if (channel.available()) updated.push(index);
    }
    if (finished) this.version = version;
  }

  #next(version: number): number {
    return Math.floor(version) + 1 + this.#salt;
  }

  #blame(error: InvalidUpdateError, index: number, tasks: readonly Task[]): InvalidUpdateError {
    const channel = this.topology.channelNames[index]!;
    const writers = tasks
      .filter((task) => task.writes.some(([name]) => name === channel))
      .map((task) => task.name);
    return new InvalidUpdateError(
      `channel "${channel}"${writers.length > 0 ? ` (written by ${writers.join(', ')})` : ''}: ${error.message}`,
    );
  }

  /** True when a channel changed since an interrupt before or after a node last stopped the graph. */
  changedSinceInterrupt(): boolean {
    return this.versions.some((version, index) => version > this.interruptSeen[index]!);
  }

  /** Notes that the graph has stopped here, so that going on does not stop again at once. */
  noteInterrupt(): void {
    this.interruptSeen = [...this.versions];
  }
}
