/** Between a live GraphState and the checkpoint that stores it. */
import { CHECKPOINT_VERSION, type Checkpoint } from './checkpoint.ts';
import { GraphState } from './algorithm.ts';
import { EMPTY } from './channels/channel.ts';
import { derivedId } from './checkpoint-id.ts';
import type { Task } from './task.ts';
import { INTERRUPT } from './reserved.ts';
import type { Topology } from './topology.ts';

/** @param id of the new checkpoint  @param ts ISO 8601 */
export function toCheckpoint(state: GraphState, id: string, ts: string): Checkpoint {
  const { topology } = state;
  const channel_values: Record<string, unknown> = {};
  const channel_versions: Record<string, number> = {};
  state.channels.forEach((channel, index) => {
    const name = topology.channelNames[index]!;
    const version = state.versions[index]!;
    if (version > 0) channel_versions[name] = version;
    if (channel.untracked) return;
    const value = channel.save();
    if (value !== EMPTY) channel_values[name] = value;
  });
  const versions_seen: Record<string, Record<string, number>> = {};
  for (const plan of topology.actors) {
    const seen = named(topology, plan.triggers, state.seen[plan.index]!);
    if (seen !== undefined) versions_seen[plan.name] = seen;
  }
  const stopped = named(topology, undefined, state.interruptSeen);
  if (stopped !== undefined) versions_seen[INTERRUPT] = stopped;
  return { v: CHECKPOINT_VERSION, id, ts, channel_values, channel_versions, versions_seen };
}

function named(
  topology: Topology,
  channels: readonly number[] | undefined,
  versions: readonly number[],
): Record<string, number> | undefined {
  let result: Record<string, number> | undefined;
  versions.forEach((version, index) => {
    if (version === 0) return;
    result ??= {};
    result[topology.channelNames[channels === undefined ? index : channels[index]!]!] = version;
  });
  return result;
}

/** Channels and actors the graph no longer has are ignored; new ones start empty. */
export function fromCheckpoint(
  topology: Topology,
  checkpoint: Checkpoint,
  salt: number,
): GraphState {
  const { channel_values, channel_versions, versions_seen } = checkpoint;
  const version = (versions: Record<string, number | string> | undefined, name: string): number =>
    Number(versions?.[name] ?? 0);
  return new GraphState(
    topology,
    topology.channels.map((channel, index) => {
      const name = topology.channelNames[index]!;
      return channel.fresh(Object.hasOwn(channel_values, name) ? channel_values[name] : EMPTY);
    }),
    topology.channelNames.map((name) => version(channel_versions, name)),
    topology.actors.map((plan) =>
      plan.triggers.map((channel) =>
        version(versions_seen[plan.name], topology.channelNames[channel]!),
      ),
    ),
    topology.channelNames.map((name) => version(versions_seen[INTERRUPT], name)),
    salt,
  );
}

/** A task's id: the same on every attempt at this step from this checkpoint. */
export function taskIdOf(
  topology: Topology,
  task: Task,
  checkpointId: string,
  ns: string,
  step: number,
): string {
  const which =
    task.kind === 'push'
      ? task.index
      : task.fired.map((channel) => topology.channelNames[channel]).join();
  return derivedId(checkpointId, ns, step, task.name, task.kind, which);
}
