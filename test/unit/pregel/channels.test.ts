import { z } from 'zod';
import {
  AfterFinish,
  Barrier,
  BinaryOperatorAggregate,
  Channel,
  Context,
  EMPTY,
  EphemeralValue,
  InvalidUpdateError,
  LastValue,
  overwrite,
  Pregel,
  Topic,
  UntrackedValue,
  type BaseChannel,
} from '../../../src/pregel/index.ts';

/** What a checkpoint would bring back. */
const restored = <V, U>(channel: BaseChannel<V, U>): BaseChannel<V, U> =>
  channel.fresh(channel.save() === EMPTY ? EMPTY : structuredClone(channel.save()));

test('LastValue takes one update a step and keeps it', () => {
  const channel = new LastValue<number>();
  expect(channel.get()).toBe(EMPTY);
  expect(channel.update([1])).toBe(true);
  expect(channel.update([])).toBe(false);
  expect(restored(channel).get()).toBe(1);
  expect(() => channel.update([1, 2])).toThrow(InvalidUpdateError);
});

test('LastValue starts with its initial value, and null and undefined are values', () => {
  expect(new LastValue(undefined, () => 7).get()).toBe(7);
  const channel = new LastValue<null | undefined>();
  channel.update([null]);
  expect(channel.get()).toBeNull();
  channel.update([undefined]);
  expect(channel.available()).toBe(true);
});

test('EphemeralValue lasts one step', () => {
  const channel = new EphemeralValue<string>();
  channel.update(['a']);
  expect(restored(channel).get()).toBe('a');
  expect(channel.update([])).toBe(true);
  expect(channel.available()).toBe(false);
  expect(channel.update([])).toBe(false);
  expect(() => channel.update(['a', 'b'])).toThrow(InvalidUpdateError);
  const unguarded = new EphemeralValue<string>(undefined, { guard: false });
  unguarded.update(['a', 'b']);
  expect(unguarded.get()).toBe('b');
});

test('Topic: one step, accumulated, unique', () => {
  const topic = new Topic(z.number());
  topic.update([1, [2, 3]]);
  expect(topic.get()).toEqual([1, 2, 3]);
  topic.update([4]);
  expect(topic.get()).toEqual([4]);
  topic.update([]);
  expect(topic.available()).toBe(false);

  const all = new Topic(z.number(), { accumulate: true });
  all.update([1]);
  const before = all.get();
  all.update([1]);
  all.update([]);
  expect(all.get()).toEqual([1, 1]);
  expect(before).toEqual([1]);

  const unique = restored(
    (() => {
      const channel = new Topic(z.number(), { unique: true, accumulate: true });
      channel.update([1, 2, 1]);
      return channel;
    })(),
  );
  expect(unique.update([2])).toBe(false);
  unique.update([3]);
  expect(unique.get()).toEqual([1, 2, 3]);
});

test('a unique Topic that does not accumulate remembers what it has seen', () => {
  const topic = new Topic(z.string(), { unique: true });
  topic.update(['a']);
  topic.update([]);
  const back = restored(topic);
  back.update(['a', 'b']);
  expect(back.get()).toEqual(['b']);
});

test('BinaryOperatorAggregate folds in order, from the first update or an initial value', () => {
  const join = (a: string, b: string): string => `${a},${b}`;
  const channel = new BinaryOperatorAggregate(z.string(), join);
  expect(channel.get()).toBe(EMPTY);
  channel.update(['a', 'b']);
  channel.update(['c']);
  expect(restored(channel).get()).toBe('a,b,c');
  const started = new BinaryOperatorAggregate(z.string(), join, () => 'x');
  started.update(['a']);
  expect(started.get()).toBe('x,a');
  started.update(['b', overwrite('new'), 'dropped']);
  expect(started.get()).toBe('new');
  expect(() => started.update([overwrite('1'), overwrite('2')])).toThrow(InvalidUpdateError);
});

test('Barrier opens when all names have come, over steps, and closes when consumed', () => {
  const barrier = new Barrier(['a', 'b']);
  barrier.update(['a', 'a']);
  expect(barrier.available()).toBe(false);
  const back = restored(barrier);
  expect(back.update(['b'])).toBe(true);
  expect(back.get()).toBeNull();
  expect(back.consume()).toBe(true);
  expect(back.available()).toBe(false);
  expect(back.consume()).toBe(false);
  expect(() => back.update(['c'])).toThrow(InvalidUpdateError);
});

test('a deferred Barrier and AfterFinish open only at the end', () => {
  const barrier = new Barrier(['a'], { deferred: true });
  barrier.update(['a']);
  expect(barrier.available()).toBe(false);
  expect(barrier.finish()).toBe(true);
  expect(restored(barrier).available()).toBe(true);
  const after = new AfterFinish();
  expect(after.finish()).toBe(false);
  after.update([null]);
  expect(after.available()).toBe(false);
  expect(restored(after).finish()).toBe(true);
  expect(after.finish()).toBe(true);
  expect(after.consume()).toBe(true);
  expect(after.save()).toBe(EMPTY);
});

test('UntrackedValue is not saved', () => {
  const channel = new UntrackedValue<string>();
  channel.update(['secret']);
  expect(channel.get()).toBe('secret');
  expect(channel.save()).toBe(EMPTY);
  expect(restored(channel).get()).toBe(EMPTY);
});

describe('Context', () => {
  const build = (events: string[], fails = false): Pregel<{ a: number }, { b: string }> =>
    new Pregel({
      nodes: {
        node: Channel.subscribeAndRead<{ a: number; client: string }>(['a'], ['client'])
          .pipe(({ a, client }) => {
            events.push('use');
            if (fails) throw new Error('broken');
            return `${client} ${a}`;
          })
          .pipe(Channel.writeTo('b')),
      },
      channels: {
        a: new EphemeralValue<number>(),
        b: new LastValue<string>(),
        client: new Context({
          acquire: async () => {
            await Promise.resolve();
            events.push('acquire');
            return 'client';
          },
          release: () => {
            events.push('release');
          },
        }),
      },
      inputChannels: ['a'],
      outputChannels: ['b'],
    });

  test('is acquired before a run and released after it', async () => {
    const events: string[] = [];
    const app = build(events);
    expect(await app.invoke({ a: 1 })).toEqual({ b: 'client 1' });
    expect(await app.invoke({ a: 2 })).toEqual({ b: 'client 2' });
    expect(events).toEqual(['acquire', 'use', 'release', 'acquire', 'use', 'release']);
  });

  test('each is released, whatever another one does, and the run’s own error is told', async () => {
    const run = (fails: boolean, events: string[]): Promise<unknown> => {
      const resource = (name: string, release: () => void): Context<string> =>
        new Context({
          acquire: () => name,
          release: () => {
            events.push(name);
            release();
          },
        });
      return new Pregel<{ a: number }, { b: string }>({
        nodes: {
          node: Channel.subscribeTo<number>('a')
            .pipe(() => {
              if (fails) throw new Error('broken');
              return 'b';
            })
            .pipe(Channel.writeTo('b')),
        },
        channels: {
          a: new EphemeralValue<number>(),
          b: new LastValue<string>(),
          first: resource('first', () => undefined),
          second: resource('second', () => {
            throw new Error('no release');
          }),
        },
        inputChannels: ['a'],
        outputChannels: ['b'],
      }).invoke({ a: 1 });
    };
    const events: string[] = [];
    await expect(run(false, events)).rejects.toThrow('no release');
    await expect(run(true, events)).rejects.toThrow('broken');
    expect(events).toEqual(['second', 'first', 'second', 'first']);
  });

  test('is released when an actor fails', async () => {
    const events: string[] = [];
    await expect(build(events, true).invoke({ a: 1 })).rejects.toThrow('broken');
    expect(events).toEqual(['acquire', 'use', 'release']);
  });

  test('cannot be written', () => {
    expect(() => new Context({ acquire: () => 1 }).update([1 as never])).toThrow(
      InvalidUpdateError,
    );
  });
});
