/** What a superstep promises: parallel, invisible until its end, merged in one order, bounded. */
import {
  ActorTimeoutError,
  Channel,
  EphemeralValue,
  GraphInvalidError,
  GraphRecursionError,
  InvalidUpdateError,
  LastValue,
  Pregel,
  StepTimeoutError,
  Topic,
  type Actor,
  type ActorContext,
  type PregelOptions,
} from '../../../src/pregel/index.ts';
import { ManualClock } from './manual-clock.ts';

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await Promise.resolve();
};

/** Actors on channel `in` that write to the topic `out`. */
function fanOut(
  actors: Record<string, (input: string, context: ActorContext) => unknown>,
  options: Partial<PregelOptions> = {},
  settings: Record<string, Parameters<ReturnType<typeof Channel.subscribeTo>['with']>[0]> = {},
): Pregel<{ in: string }, { out: string[] }> {
  const nodes: Record<string, Actor> = {};
  for (const [name, fn] of Object.entries(actors)) {
    nodes[name] = Channel.subscribeTo<string>('in')
      .pipe(fn)
      .pipe(Channel.writeTo('out'))
      .with(settings[name] ?? {});
  }
  return new Pregel({
    nodes,
    channels: { in: new EphemeralValue<string>(), out: new Topic<string>() },
    inputChannels: ['in'],
    outputChannels: ['out'],
    ...options,
  });
}

test('updates are merged by actor name, whatever order actors end in', async () => {
  const app = fanOut({
    c: () => 'c',
    a: async () => turns(9).then(() => 'a'),
    b: async () => turns(3).then(() => 'b'),
  });
  expect(await app.invoke({ in: 'x' })).toEqual({ out: ['a', 'b', 'c'] });
});

test('a write is invisible until the next step', async () => {
  const seen: unknown[] = [];
  const app = new Pregel({
    nodes: {
      first: Channel.subscribeTo<string>('in')
        .pipe((_value, context) => {
          seen.push(context.read('value'));
          return 'new';
        })
        .pipe(Channel.writeTo('value')),
      second: Channel.subscribeTo<string>('in').pipe((_value, context) => {
        seen.push(context.read('value'));
      }),
      third: Channel.subscribeTo<string>('value').pipe((value) => {
        seen.push(value);
      }),
    },
    channels: { in: new EphemeralValue<string>(), value: new LastValue<string>() },
    inputChannels: ['in'],
    outputChannels: ['value'],
  });
  await app.invoke({ in: 'x' });
  expect(seen).toEqual([undefined, undefined, 'new']);
});

test('concurrent writes that cannot be merged are an error that names channel and writers', async () => {
  const write = Channel.subscribeTo<string>('in').pipe(Channel.writeTo('value'));
  const app = new Pregel({
    nodes: { one: write, two: write },
    channels: { in: new EphemeralValue<string>(), value: new LastValue<string>() },
    inputChannels: ['in'],
    outputChannels: ['value'],
  });
  const error: unknown = await app.invoke({ in: 'x' }).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InvalidUpdateError);
  expect(error).toMatchObject({ code: 'update_invalid' });
  expect((error as Error).message).toContain('channel "value" (written by one, two)');
});

test('a failure cancels its siblings by their signal', async () => {
  const aborted: unknown[] = [];
  const app = fanOut({
    fails: async () => turns(2).then(() => Promise.reject(new Error('broken'))),
    waits: async (_input, context) =>
      new Promise((_resolve, reject) => {
        context.signal.addEventListener('abort', () => {
          aborted.push((context.signal.reason as Error).message);
          reject(new Error('stopped'));
        });
      }),
  });
  await expect(app.invoke({ in: 'x' })).rejects.toThrow('broken');
  expect(aborted).toEqual(['broken']);
});

test('a sibling that ignores its signal does not hold the failure for ever', async () => {
  const clock = new ManualClock();
  const app = fanOut(
    {
      fails: async () => turns(1).then(() => Promise.reject(new Error('broken'))),
      deaf: () => new Promise(() => undefined),
    },
    { clock },
  );
  const run = app.invoke({ in: 'x' }).catch((error: unknown) => (error as Error).message);
  expect(await clock.advance()).toBe(2_000);
  expect(await run).toBe('broken');
});

test('aborting the run ends it at once, also when an actor is deaf', async () => {
  const stop = new AbortController();
  const app = fanOut({ deaf: () => new Promise(() => undefined) });
  const run = app.invoke({ in: 'x' }, { signal: stop.signal });
  stop.abort(new Error('enough'));
  await expect(run).rejects.toThrow('enough');
});

test('step timeout', async () => {
  const clock = new ManualClock();
  const app = fanOut({ slow: () => new Promise(() => undefined) }, { clock, stepTimeoutMs: 300 });
  const run = app.invoke({ in: 'x' }).catch((error: unknown) => error);
  expect(await clock.advance()).toBe(300);
  expect(await run).toBeInstanceOf(StepTimeoutError);
});

test('an actor with a timeout and a retry policy is tried again, its late writes are dropped', async () => {
  const clock = new ManualClock();
  const attempts: number[] = [];
  const app = fanOut(
    {
      flaky: (_input, context) => {
        attempts.push(context.attempt);
        return context.attempt < 3 ? new Promise(() => undefined) : 'third';
      },
    },
    { clock },
    {
      flaky: {
        timeoutMs: 100,
        retry: { maxAttempts: 3, initialIntervalMs: 40, backoffFactor: 3, jitter: false },
      },
    },
  );
  const run = app.invoke({ in: 'x' });
  const waits = [];
  for (let count = 0; count < 4; count += 1) waits.push(await clock.advance());
  expect(waits).toEqual([100, 40, 100, 120]);
  expect(await run).toEqual({ out: ['third'] });
  expect(attempts).toEqual([1, 2, 3]);
});

test('an attempt that timed out and ends after the one that succeeded changes nothing', async () => {
  const clock = new ManualClock();
  let endFirst: (value: string) => void = () => undefined;
  let endSibling: (value: string) => void = () => undefined;
  const app = fanOut(
    {
      flaky: (_input, context) =>
        context.attempt === 1 ? new Promise<string>((resolve) => (endFirst = resolve)) : 'second',
      sibling: () => new Promise<string>((resolve) => (endSibling = resolve)),
    },
    { clock },
    { flaky: { timeoutMs: 100, retry: { maxAttempts: 2, initialIntervalMs: 40, jitter: false } } },
  );
  const run = app.invoke({ in: 'x' });
  expect([await clock.advance(), await clock.advance()]).toEqual([100, 40]);
  endFirst('first');
  await new Promise(setImmediate);
  endSibling('sibling');
  expect(await run).toEqual({ out: ['second', 'sibling'] });
});

test('the last failure of a retried actor is the error; retryOn decides', async () => {
  const clock = new ManualClock();
  const timeout = fanOut(
    { slow: () => new Promise(() => undefined) },
    { clock },
    { slow: { timeoutMs: 50 } },
  )
    .invoke({ in: 'x' })
    .catch((error: unknown) => error);
  await clock.advance();
  expect(await timeout).toBeInstanceOf(ActorTimeoutError);

  let tries = 0;
  const never = fanOut(
    {
      fails: () => {
        tries += 1;
        throw new Error('final');
      },
    },
    { retry: { retryOn: () => false } },
  );
  await expect(never.invoke({ in: 'x' })).rejects.toThrow('final');
  expect(tries).toBe(1);
});

test('the step limit counts steps, and names what would have run next', async () => {
  const loop = Channel.subscribeTo<number>('n')
    .pipe((n) => (n > 1 ? n - 1 : null))
    .pipe(Channel.write([{ channel: 'n', skipNull: true }]));
  const app = new Pregel<{ n: number }, { n: number }>({
    nodes: { loop },
    channels: { n: new EphemeralValue<number>() },
    inputChannels: ['n'],
    outputChannels: ['n'],
  });
  expect(await app.invoke({ n: 5 }, { recursionLimit: 5 })).toEqual({ n: 1 });
  const error: unknown = await app
    .invoke({ n: 6 }, { recursionLimit: 5 })
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(GraphRecursionError);
  expect((error as Error).message).toContain('within 5 steps; next: loop');
});

test('long synchronous graphs let timers and cancellation through', async () => {
  const loop = Channel.subscribeTo<number>('n')
    .pipe((n) => n + 1)
    .pipe(Channel.writeTo('n'));
  const app = new Pregel({
    nodes: { loop },
    channels: { n: new EphemeralValue<number>() },
    inputChannels: ['n'],
    outputChannels: ['n'],
  });
  const stop = new AbortController();
  setImmediate(() => {
    stop.abort(new Error('enough'));
  });
  await expect(
    app.invoke({ n: 0 }, { recursionLimit: 10_000_000, signal: stop.signal }),
  ).rejects.toThrow('enough');
});

test('maxConcurrency', async () => {
  let running = 0;
  let most = 0;
  const work = async (): Promise<string> => {
    running += 1;
    most = Math.max(most, running);
    await turns(3);
    running -= 1;
    return 'done';
  };
  const app = fanOut({ a: work, b: work, c: work, d: work });
  expect((await app.invoke({ in: 'x' }, { maxConcurrency: 2 })).out).toHaveLength(4);
  expect(most).toBe(2);
});

test('an actor that names an unknown channel cannot be built', () => {
  expect(
    () =>
      new Pregel({
        nodes: { a: Channel.subscribeTo('in').pipe(Channel.writeTo('nowhere')) },
        channels: { in: new EphemeralValue() },
        inputChannels: ['in'],
        outputChannels: ['in'],
      }),
  ).toThrow(GraphInvalidError);
});
