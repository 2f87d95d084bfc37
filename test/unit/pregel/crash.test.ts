/**
 * Killed at any moment, the resumed run has the same final state, and what had finished and was
 * stored does not run again.
 */
import { z } from 'zod';
import {
  Command,
  interrupt,
  reduced,
  Send,
  START,
  StateGraph,
  type Durability,
  type Pregel,
} from '../../../src/pregel/index.ts';
import { World } from './dying-world.ts';

const State = z.object({
  log: reduced(z.array(z.string()), { reduce: (a, b) => [...a, ...b], initial: () => [] }),
  rounds: reduced(z.number(), { reduce: (a, b) => a + b, initial: () => 0 }),
});
interface Input {
  log: string[];
  rounds: number;
  item?: string;
}

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await Promise.resolve();
};

/** Fan-out, join, Sends, a cycle of two rounds, and (if asked) two questions in parallel. */
function build(world: World, questions: boolean): Pregel {
  const node = (name: string, wait: number, ask = false) =>
    world.actor(
      (input: Input) => `${name}${input.item ?? ''}@${input.rounds}`,
      (input: Input) => {
        const answer = ask && questions ? interrupt<string>(`${name}?`) : '';
        const update = { log: [`${name}${input.item ?? ''}@${input.rounds}${answer}`] };
        return wait === 0 ? update : turns(wait).then(() => update);
      },
    ) as never;
  return new StateGraph(State)
    .addNode('a', node('a', 0))
    .addNode('b', node('b', 0))
    .addNode('c', node('c', 3, true))
    .addNode('d', node('d', 9, true))
    .addNode('e', node('e', 1))
    .addNode('f', node('f', 2))
    .addNode(
      'g',
      world.actor(
        (input: Input) => `g@${input.rounds}`,
        (input: Input) => ({ log: [`g@${input.rounds}`], rounds: 1 }),
      ) as never,
    )
    .addEdge(START, 'a')
    .addEdge('a', 'b')
    .addEdge('a', 'c')
    .addEdge('a', 'd')
    .addEdge(['b', 'c', 'd'], 'e')
    .addConditionalEdges('e', (state) => [
      new Send('f', { ...state, item: '1' }),
      new Send('f', { ...state, item: '2' }),
    ])
    .addEdge('f', 'g')
    .addConditionalEdges('g', (state) => (state.rounds < 2 ? 'a' : '__end__'))
    .compile({ checkpointer: world.checkpointer() });
}

interface Drive {
  readonly durability: Durability;
  readonly questions: boolean;
}

/** One process: starts or goes on with the run `runId`, and ends or dies. */
async function live(
  world: World,
  { durability, questions }: Drive,
  killAt: number | undefined,
  runId: string,
  input: unknown,
): Promise<'ended' | 'died'> {
  world.start(killAt);
  const run = build(world, questions).invoke(input, {
    configurable: { thread_id: 't', run_id: runId },
    durability,
    recursionLimit: 50,
  });
  return Promise.race([run.then(() => 'ended' as const), world.death.then(() => 'died' as const)]);
}

const started = (log: readonly string[]): string[] =>
  log.filter((event) => event.startsWith('start ')).map((event) => event.slice(6));

async function finalState(world: World, questions: boolean): Promise<unknown> {
  world.start();
  const app = build(world, questions);
  const { values, next } = await app.getState({ configurable: { thread_id: 't' } });
  return { values, next };
}

describe.each<Durability>(['sync', 'async', 'exit'])('durability %s', (durability) => {
  test('killed at any event, the next attempt ends in the same state', async () => {
    const drive = { durability, questions: false };
    const calm = new World();
    await live(calm, drive, undefined, 'r', { log: ['in'] });
    const events = calm.log.length;
    const expected = await finalState(calm, false);
    expect(events).toBeGreaterThan(durability === 'exit' ? 25 : 60);

    for (let killAt = 1; killAt <= events; killAt += 1) {
      const world = new World();
      expect(await live(world, drive, killAt, 'r', { log: ['in'] })).toBe('died');
      const stored = [...world.stored];
      expect(await live(world, drive, undefined, 'r', { log: ['in'] })).toBe('ended');
      const again = started(world.log);
      if (durability !== 'exit') {
        expect({ killAt, again: stored.filter((name) => again.includes(name)) }).toEqual({
          killAt,
          again: [],
        });
      }
      expect({ killAt, state: await finalState(world, false) }).toEqual({
        killAt,
        state: expected,
      });
    }
  });
});

test('killed twice, at any two events', async () => {
  const drive = { durability: 'sync' as const, questions: false };
  const calm = new World();
  await live(calm, drive, undefined, 'r', { log: ['in'] });
  const events = calm.log.length;
  const expected = await finalState(calm, false);
  for (let first = 1; first <= events; first += 5) {
    for (let second = 1; second <= 30; second += 3) {
      const world = new World();
      await live(world, drive, first, 'r', { log: ['in'] });
      await live(world, drive, second, 'r', { log: ['in'] });
      await live(world, drive, undefined, 'r', { log: ['in'] });
      expect({ first, second, state: await finalState(world, false) }).toEqual({
        first,
        second,
        state: expected,
      });
    }
  }
});

test('killed while it is resumed with one answer, the answer goes to the same question', async () => {
  const drive = { durability: 'sync' as const, questions: true };
  const resume = new Command({ resume: 'yes' });
  // Two questions are open after the first run; one plain answer is for the first of them.
  const calm = new World();
  await live(calm, drive, undefined, 'r1', { log: ['in'] });
  await live(calm, drive, undefined, 'r2', resume);
  const events = calm.log.length;
  const asked = async (world: World): Promise<unknown> => {
    world.start();
    const state = await build(world, true).getState({ configurable: { thread_id: 't' } });
    return { values: state.values, asked: state.tasks.flatMap((task) => task.interrupts) };
  };
  const shape = (state: unknown): unknown =>
    JSON.parse(JSON.stringify(state).replace(/"id":"[0-9a-f]{32}"/g, '"id":""'));
  const expected = shape(await asked(calm));
  expect(JSON.stringify(expected)).toContain('d?');
  expect(JSON.stringify(expected)).not.toContain('c?');

  for (let killAt = 1; killAt <= events; killAt += 1) {
    const world = new World();
    await live(world, drive, undefined, 'r1', { log: ['in'] });
    expect(await live(world, drive, killAt, 'r2', resume)).toBe('died');
    expect(await live(world, drive, undefined, 'r2', resume)).toBe('ended');
    expect({ killAt, state: shape(await asked(world)) }).toEqual({ killAt, state: expected });
  }
});

test('killed while it takes a command, its update is applied once', async () => {
  const drive = { durability: 'sync' as const, questions: false };
  const command = new Command({ update: { log: ['more'] }, goto: 'g' });
  const calm = new World();
  await live(calm, drive, undefined, 'r1', { log: ['in'] });
  await live(calm, drive, undefined, 'r2', command);
  const events = calm.log.length;
  const expected = await finalState(calm, false);
  for (let killAt = 1; killAt <= events; killAt += 1) {
    const world = new World();
    await live(world, drive, undefined, 'r1', { log: ['in'] });
    expect(await live(world, drive, killAt, 'r2', command)).toBe('died');
    expect(await live(world, drive, undefined, 'r2', command)).toBe('ended');
    expect({ killAt, state: await finalState(world, false) }).toEqual({ killAt, state: expected });
  }
});

test('killed at a breakpoint, the next attempt stops there too', async () => {
  const world = new World();
  const build = (): Pregel =>
    new StateGraph(State)
      .addNode('a', () => ({ log: ['a'] }))
      .addNode('b', () => ({ log: ['b'] }))
      .addEdge(START, 'a')
      .addEdge('a', 'b')
      .compile({ checkpointer: world.checkpointer(), interruptAfter: ['a'] });
  const run = { configurable: { thread_id: 't', run_id: 'r' }, durability: 'sync' as const };
  world.start();
  await build().invoke({ log: ['in'] }, run);
  const events = world.log.length;
  for (let killAt = 1; killAt <= events; killAt += 1) {
    await world.store.deleteThread('t');
    world.start(killAt);
    const first = build().invoke({ log: ['in'] }, run);
    await Promise.race([first, world.death]);
    world.start();
    const second = await build().invoke({ log: ['in'] }, run);
    expect({ killAt, second }).toMatchObject({ killAt, second: { __interrupt__: [] } });
    world.start();
    const { values, next } = await build().getState(run);
    expect({ killAt, values, next }).toEqual({
      killAt,
      values: { log: ['in', 'a'], rounds: 0 },
      next: ['b'],
    });
  }
});
