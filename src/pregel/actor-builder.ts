/**
 * Actors from pieces, as the seed's examples write them:
 *
 *   Channel.subscribeTo('a').pipe((x) => x + x).pipe(Channel.writeTo('b'))
 *   Channel.subscribeTo('a').pipe(f).pipe({ b: Channel.writeTo('b'), c: Channel.writeTo('c') })
 *   Channel.subscribeTo('value').pipe(grow).pipe(Channel.write([{ channel: 'value', skipNull: true }]))
 */
import type { Actor, ActorContext, ActorInput, Writer } from './actor.ts';
import { isSend, type Send } from './control.ts';
import type { RetryPolicy } from './retry.ts';
import { TASKS } from './reserved.ts';

/** One write of an actor. */
export interface ChannelWriteEntry {
  readonly channel: string;
  /** What to write; absent: what was piped in. A function maps what was piped in. */
  readonly value?: unknown;
  /** Do not write null or undefined. */
  readonly skipNull?: boolean;
}

/** The last piece of an actor: writes to channels and passes its input on. */
export class ChannelWrite {
  readonly entries: readonly ChannelWriteEntry[];

  constructor(entries: readonly ChannelWriteEntry[]) {
    this.entries = entries;
  }

  write(result: unknown, writer: Writer): void {
    for (const entry of this.entries) {
      const { channel, skipNull } = entry;
      let value = result;
      if ('value' in entry) {
        value =
          typeof entry.value === 'function'
            ? (entry.value as (result: unknown) => unknown)(result)
            : entry.value;
      }
      if (skipNull === true && (value === null || value === undefined)) continue;
      writer.push(channel, value);
    }
  }
}

/** Several writes of the same value, by any names. */
export type ChannelWrites = Readonly<Record<string, ChannelWrite>>;

type Fn<In, Out> = (input: In, context: ActorContext) => Out;

export interface ActorSettings {
  retry?: RetryPolicy;
  /** Milliseconds for one attempt. */
  timeoutMs?: number;
  metadata?: Readonly<Record<string, unknown>>;
}

/** An actor under construction; it is an actor at every point. Never changed: `pipe` gives a new one. */
export class ActorBuilder<In, Out> implements Actor {
  readonly triggers: readonly string[];
  readonly input: ActorInput;
  readonly writes: readonly string[];
  readonly retry?: RetryPolicy;
  readonly timeoutMs?: number;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly #steps: readonly Fn<unknown, unknown>[];
  readonly #writes: readonly ChannelWrite[];

  constructor(
    source: { triggers: readonly string[]; input: ActorInput },
    steps: readonly Fn<unknown, unknown>[] = [],
    writes: readonly ChannelWrite[] = [],
    settings: ActorSettings = {},
  ) {
    this.triggers = source.triggers;
    this.input = source.input;
    this.#steps = steps;
    this.#writes = writes;
    this.writes = writes.flatMap((write) => write.entries.map((entry) => entry.channel));
    if (settings.retry !== undefined) this.retry = settings.retry;
    if (settings.timeoutMs !== undefined) this.timeoutMs = settings.timeoutMs;
    if (settings.metadata !== undefined) this.metadata = settings.metadata;
  }

  /** Adds a function, one write, or several writes. */
  pipe(write: ChannelWrite | ChannelWrites): ActorBuilder<In, Out>;
  pipe<Next>(fn: (input: Awaited<Out>, context: ActorContext) => Next): ActorBuilder<In, Next>;
  pipe<Next>(
    next: ChannelWrite | ChannelWrites | ((input: Awaited<Out>, context: ActorContext) => Next),
  ): ActorBuilder<In, Out> | ActorBuilder<In, Next> {
    if (typeof next === 'function') {
      return new ActorBuilder<In, Next>(
        this,
        [...this.#steps, next as Fn<unknown, unknown>],
        this.#writes,
        this.#settings(),
      );
    }
    const writes = next instanceof ChannelWrite ? [next] : Object.values(next);
    return new ActorBuilder<In, Out>(
      this,
      this.#steps,
      [...this.#writes, ...writes],
      this.#settings(),
    );
  }

  /** Retry policy, timeout, metadata. */
  with(settings: ActorSettings): ActorBuilder<In, Out> {
    return new ActorBuilder<In, Out>(this, this.#steps, this.#writes, {
      ...this.#settings(),
      ...settings,
    });
  }

  run(input: In, context: ActorContext): unknown {
    let value: unknown = input;
    for (let place = 0; place < this.#steps.length; place += 1) {
      if (value instanceof Promise) return this.#later(value, place, context);
      value = this.#steps[place]!(value, context);
    }
    return value;
  }

  async #later(value: Promise<unknown>, from: number, context: ActorContext): Promise<unknown> {
    let current = await value;
    for (const step of this.#steps.slice(from)) current = await step(current, context);
    return current;
  }

  write(result: unknown, writer: Writer): void {
    for (const write of this.#writes) write.write(result, writer);
  }

  #settings(): ActorSettings {
    const { retry, timeoutMs, metadata } = this;
    return {
      ...(retry === undefined ? {} : { retry }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(metadata === undefined ? {} : { metadata }),
    };
  }
}

/** The pieces. */
export const Channel = {
  /** An actor that is selected when `channel` changes and gets its value. */
  subscribeTo<T = never>(channel: string): ActorBuilder<T, T> {
    return new ActorBuilder<T, T>({
      triggers: [channel],
      input: { kind: 'value', channels: [channel] },
    });
  },

  /** An actor that is selected when any of these changes and gets an object of all that have a value. */
  subscribeToAll<T extends Record<string, unknown> = Record<string, never>>(
    channels: readonly string[],
  ): ActorBuilder<T, T> {
    return new ActorBuilder<T, T>({
      triggers: channels,
      input: { kind: 'object', fields: Object.fromEntries(channels.map((name) => [name, name])) },
    });
  },

  /** Adds values to read to an actor's object, without being selected by them. */
  subscribeAndRead<T extends Record<string, unknown> = Record<string, never>>(
    triggers: readonly string[],
    read: readonly string[],
  ): ActorBuilder<T, T> {
    return new ActorBuilder<T, T>({
      triggers,
      input: {
        kind: 'object',
        fields: Object.fromEntries([...triggers, ...read].map((name) => [name, name])),
      },
    });
  },

  /** Writes what is piped in to each of these channels. */
  writeTo(...channels: readonly string[]): ChannelWrite {
    return new ChannelWrite(channels.map((channel) => ({ channel })));
  },

  /** Writes with a value of their own, a mapping, or `skipNull`. */
  write(entries: readonly ChannelWriteEntry[]): ChannelWrite {
    return new ChannelWrite(entries);
  },

  /** Writes the Send packets piped in: one task each in the next step. */
  send(): ChannelWrite {
    return new ChannelWrite([
      {
        channel: TASKS,
        value: (result: unknown): Send[] =>
          (Array.isArray(result) ? result : [result]).filter(isSend),
      },
    ]);
  },
} as const;
