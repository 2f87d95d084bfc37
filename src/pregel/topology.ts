/**
 * A graph's fixed part, with names turned into numbers once, so that a step looks nothing up by
 * name. Actors are sorted by name: their number is their place in every deterministic order.
 */
import { z } from 'zod';
import { AppError } from '../errors.ts';
import type { Actor } from './actor.ts';
import type { BaseChannel } from './channels/channel.ts';
import { Topic } from './channels/topic.ts';
import type { Send } from './control.ts';
import { isNote, TASKS } from './reserved.ts';

/** A graph cannot be built as declared. */
export class GraphInvalidError extends AppError {
  readonly code = 'graph_invalid' as const;
}

/** How an actor's input is read, by channel number. */
export type InputPlan =
  | { readonly kind: 'value'; readonly channels: readonly number[] }
  | {
      readonly kind: 'object';
      readonly keys: readonly string[];
      readonly channels: readonly number[];
    };

export interface ActorPlan {
  readonly index: number;
  readonly name: string;
  readonly actor: Actor;
  readonly triggers: readonly number[];
  readonly input: InputPlan;
}

export interface Topology {
  readonly actors: readonly ActorPlan[];
  readonly actorByName: ReadonlyMap<string, ActorPlan>;
  readonly channelNames: readonly string[];
  readonly channelByName: ReadonlyMap<string, number>;
  readonly channels: readonly BaseChannel[];
  /** Channel → actors it selects. */
  readonly subscribers: readonly (readonly number[])[];
  readonly transient: readonly boolean[];
  /** Channels that may answer `finish`. */
  readonly deferred: readonly number[];
  /** A resource has to be acquired before a run. */
  readonly hasContexts: boolean;
  /** The channel of Send packets. */
  readonly tasks: number;
}

/** @throws {GraphInvalidError} when an actor names a channel that does not exist */
export function buildTopology(
  actors: Readonly<Record<string, Actor>>,
  channels: Readonly<Record<string, BaseChannel>>,
): Topology {
  const all: Record<string, BaseChannel> = { ...channels };
  all[TASKS] ??= new Topic<Send>(z.custom<Send>());
  const channelNames = Object.keys(all);
  const channelByName = new Map(channelNames.map((name, index) => [name, index]));
  for (const name of channelNames) {
    if (isNote(name)) throw new GraphInvalidError(`"${name}" is a reserved channel name`);
  }
  const resolve = (actor: string, channel: string): number => {
    const index = channelByName.get(channel);
    if (index === undefined) {
      throw new GraphInvalidError(
        `actor "${actor}" names the channel "${channel}", which is not declared`,
      );
    }
    return index;
  };

  const subscribers: number[][] = channelNames.map(() => []);
  const names = Object.keys(actors).sort();
  const plans = names.map((name, index): ActorPlan => {
    const actor = actors[name]!;
    for (const channel of actor.writes ?? []) resolve(name, channel);
    const triggers = actor.triggers.map((channel) => resolve(name, channel));
    for (const trigger of new Set(triggers)) subscribers[trigger]?.push(index);
    const { input } = actor;
    return {
      index,
      name,
      actor,
      triggers,
      input:
        input.kind === 'value'
          ? { kind: 'value', channels: input.channels.map((channel) => resolve(name, channel)) }
          : {
              kind: 'object',
              keys: Object.keys(input.fields),
              channels: Object.values(input.fields).map((channel) => resolve(name, channel)),
            },
    };
  });
  const list = Object.values(all);
  return {
    actors: plans,
    actorByName: new Map(plans.map((plan) => [plan.name, plan])),
    channelNames,
    channelByName,
    channels: list,
    subscribers,
    transient: list.map((channel) => channel.transient),
    deferred: list.flatMap((channel, index) =>
      channel.kind === 'AfterFinish' || channel.kind === 'Barrier' ? [index] : [],
    ),
    hasContexts: list.some((channel) => channel.kind === 'Context'),
    tasks: channelByName.get(TASKS)!,
  };
}
