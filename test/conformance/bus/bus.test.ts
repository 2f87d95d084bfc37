/** What the bus promises, in both modes; between processes with Redis and, a little slower, without it. */
import { randomBytes } from 'node:crypto';
import { createBus } from '../../../src/bus/bus.ts';
import type { Bus } from '../../../src/bus/bus.ts';
import { createBusChannels, nodeAgentId, nodeOfAgent } from '../../../src/bus/channels.ts';
import type { AgentMessage } from '../../../src/bus/message.ts';
import { createPubSubTransport } from '../../../src/bus/pubsub.ts';
import { createSimpleTransport } from '../../../src/bus/simple.ts';
import type { Transport } from '../../../src/bus/transport.ts';
import { newId } from '../../../src/ids.ts';
import { createPostgresSignals } from '../../../src/postgres/signals.ts';
import { connectCommands, connectSubscriber, isReachable } from '../../../src/redis/connect.ts';
import { createTestDatabase } from '../../support/postgres.ts';
import { testRedisUrl } from '../../support/redis.ts';
import { waitUntil } from '../../support/wait-until.ts';

const WAIT = { timeoutMs: 20_000 };
/** Longer than a busy machine holds up this process: a lease that lapses is a second delivery. */
const LEASE_MS = 5_000;

interface World {
  bus: Bus;
  /** The other end: another process in pubsub mode, the same bus in simple mode. */
  other: Bus;
  troubles: unknown[];
  /** Settles when a question to the agent has been withdrawn. */
  withdrawn(to: string): Promise<unknown>;
  stop(): Promise<void>;
}

function simpleWorld(): Promise<World> {
  const troubles: unknown[] = [];
  const deps = { onTrouble: (_: string, error: unknown) => void troubles.push(error) };
  const transport = createSimpleTransport(deps);
  const bus = createBus(transport, deps);
  return Promise.resolve({
    bus,
    other: bus,
    troubles,
    // It is when it has failed.
    withdrawn: () => Promise.resolve(),
    stop: () => transport.stop(),
  });
}

async function pubsubWorld(withRedis: boolean): Promise<World> {
  const database = await createTestDatabase();
  const prefix = `bus-${randomBytes(5).toString('hex')}`;
  const troubles: unknown[] = [];
  const onTrouble = (_: string, error: unknown): void => void troubles.push(error);
  const closing: (() => Promise<unknown>)[] = [];
  const process = async (): Promise<{ bus: Bus; transport: Transport }> => {
    const signals = createPostgresSignals(database.pool, {
      url: database.url,
      prefix: 'bus',
      onError: () => undefined,
    });
    await signals.start();
    const redis = withRedis
      ? {
          commands: connectCommands({ url: testRedisUrl(), name: 'bus' }, () => undefined),
          subscriber: connectSubscriber({ url: testRedisUrl(), name: 'bus' }, () => undefined),
        }
      : undefined;
    if (redis !== undefined) await isReachable(redis.commands, 5_000);
    const transport = createPubSubTransport({
      db: database.pool,
      signals,
      redis,
      channels: createBusChannels(prefix),
      leaseMs: LEASE_MS,
      onTrouble,
    });
    await transport.start();
    closing.push(async () => {
      await transport.stop();
      await signals.stop();
      redis?.commands.disconnect();
      redis?.subscriber.disconnect();
    });
    return { bus: createBus(transport, { onTrouble }), transport };
  };
  const [{ bus }, { bus: other }] = [await process(), await process()];
  return {
    bus,
    other,
    troubles,
    withdrawn: (to) =>
      waitUntil(async () => {
        const { rowCount } = await database.pool.query(
          `SELECT 1 FROM bus_messages WHERE to_agent = $1 AND state = 'withdrawn'`,
          [to],
        );
        return rowCount === 1;
      }, WAIT),
    async stop() {
      for (const close of closing) await close();
      await database.drop();
    },
  };
}

describe.each([
  ['simple', simpleWorld],
  ['pubsub', () => pubsubWorld(true)],
  ['pubsub without Redis', () => pubsubWorld(false)],
] as const)('%s', (name, create) => {
  let world: World;
  beforeAll(async () => {
    world = await create();
  });
  afterAll(() => world.stop());

  const names = (): [string, string] => [`asker-${newId()}`, `answerer-${newId()}`];
  const textOf = (message: AgentMessage): unknown => message.content['text'];

  test('a question gets its answer', async () => {
    const [asker, answerer] = names();
    const a = await world.bus.subscribe(asker);
    const b = await world.other.subscribe(answerer);
    b.registerHandler('QUERY', async (message) => {
      await world.other.sendTaskResponse({
        type: 'RESPONSE',
        from: answerer,
        to: message.from_agent,
        replyTo: message.id,
        result: { text: `${String(textOf(message))}!` },
      });
    });
    const answers = await Promise.all(
      ['x', 'y', 'z'].map((text) =>
        world.bus.ask({ from: asker, to: answerer, content: { text }, timeoutMs: 20_000 }),
      ),
    );
    expect(answers.map(textOf)).toEqual(['x!', 'y!', 'z!']);
    await Promise.all([a.close(), b.close()]);
  });

  test('a message to an agent that does not listen yet is kept for it, urgent ones first', async () => {
    const [from, to] = names();
    const send = (text: string, priority: 'low' | 'normal' | 'urgent'): Promise<unknown> =>
      world.bus.publish({ type: 'NOTIFICATION', from, to, content: { text }, priority });
    await send('low', 'low');
    await send('normal', 'normal');
    await send('urgent', 'urgent');
    const got: unknown[] = [];
    const agent = await world.other.subscribe(to);
    agent.registerHandler('NOTIFICATION', (message) => void got.push(textOf(message)));
    await waitUntil(() => got.length === 3, WAIT);
    expect(got).toEqual(['urgent', 'normal', 'low']);
    await agent.close();
  });

  test('a message that was sent twice comes once', async () => {
    const [from, to] = names();
    const got: unknown[] = [];
    const agent = await world.other.subscribe(to);
    agent.registerHandler('TASK_UPDATE', (message) => void got.push(message.id));
    agent.registerHandler('NOTIFICATION', () => void got.push('last'));
    const message = { id: 'same', type: 'TASK_UPDATE', from, to, content: {} } as const;
    await world.bus.publish(message);
    await world.bus.publish(message);
    await waitUntil(() => got.length === 1, WAIT);
    await world.bus.publish({ type: 'NOTIFICATION', from, to, content: {} });
    await waitUntil(() => got.includes('last'), WAIT);
    expect(got).toEqual(['same', 'last']);
    await agent.close();
  });

  test('a message that expired is not delivered', async () => {
    const [from, to] = names();
    await world.bus.publish({
      type: 'NOTIFICATION',
      from,
      to,
      content: { text: 'old' },
      expiresInMs: 1,
    });
    const sentAt = Date.now();
    await waitUntil(() => Date.now() > sentAt + 5, WAIT);
    await world.bus.publish({ type: 'NOTIFICATION', from, to, content: { text: 'new' } });
    const got: unknown[] = [];
    const agent = await world.other.subscribe(to);
    agent.registerHandler('NOTIFICATION', (message) => void got.push(textOf(message)));
    await waitUntil(() => got.length > 0, WAIT);
    expect(got).toEqual(['new']);
    await agent.close();
  });

  test('an answer that does not come is an error that names who was asked', async () => {
    const asker = `node-${newId()}-student`;
    const agent = await world.bus.subscribe(asker);
    await expect(
      world.bus.ask({
        from: asker,
        to: asker.replace(/student$/, 'teacher'),
        content: {},
        timeoutMs: 50,
      }),
    ).rejects.toThrow('teacher did not answer student within 0.05 s');
    await agent.close();
  });

  test('a question that is cancelled ends at once and is withdrawn', async () => {
    const [asker, answerer] = names();
    const a = await world.bus.subscribe(asker);
    const abort = new AbortController();
    const asked = world.bus.ask({
      from: asker,
      to: answerer,
      content: {},
      timeoutMs: 60_000,
      signal: abort.signal,
      onSent: () => {
        abort.abort(new Error('cancelled'));
      },
    });
    await expect(asked).rejects.toThrow('cancelled');
    // The withdrawal is on its way when the question has ended.
    await world.withdrawn(answerer);
    const got: unknown[] = [];
    const b = await world.other.subscribe(answerer);
    b.registerHandler('QUERY', () => void got.push('query'));
    b.registerHandler('NOTIFICATION', () => void got.push('sentinel'));
    await world.bus.publish({
      type: 'NOTIFICATION',
      from: asker,
      to: answerer,
      content: {},
      priority: 'low',
    });
    await waitUntil(() => got.includes('sentinel'), WAIT);
    expect(got).toEqual(['sentinel']);
    await Promise.all([a.close(), b.close()]);
  });

  test('an answerer learns that its question was withdrawn', async () => {
    const [asker, answerer] = names();
    const a = await world.bus.subscribe(asker);
    const b = await world.other.subscribe(answerer);
    const abort = new AbortController();
    let stopped = false;
    b.registerHandler('QUERY', async (_message, signal) => {
      abort.abort(new Error('cancelled'));
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve);
      });
      stopped = true;
    });
    await expect(
      world.bus.ask({
        from: asker,
        to: answerer,
        content: {},
        timeoutMs: 60_000,
        signal: abort.signal,
      }),
    ).rejects.toThrow('cancelled');
    await waitUntil(() => stopped, WAIT);
    await Promise.all([a.close(), b.close()]);
  });

  test('broadcasts reach the agents of their scope and no others', async () => {
    const got: string[] = [];
    const agents = await Promise.all(
      ['one', 'one', 'two', undefined].map(async (scope, i) => {
        // Without Redis nobody carries a broadcast to another process.
        const far = i % 2 === 1 && name !== 'pubsub without Redis';
        const agent = await (far ? world.other : world.bus).subscribe(`agent-${newId()}`, scope);
        agent.registerHandler('BROADCAST', () => void got.push(scope ?? 'none'));
        return agent;
      }),
    );
    await world.bus.broadcast({ from: 'speaker', content: {}, scope: 'one' });
    await waitUntil(() => got.length === 2, WAIT);
    await world.bus.broadcast({ from: 'speaker', content: {}, scope: 'two' });
    await waitUntil(() => got.length === 3, WAIT);
    expect(got).toEqual(['one', 'one', 'two']);
    await Promise.all(agents.map((agent) => agent.close()));
  });

  test('a message that makes no sense is refused with its field named', async () => {
    await expect(
      world.bus.publish({ type: 'NOTIFICATION', from: 'a b', to: 'c', content: {} }),
    ).rejects.toThrow(/from_agent/);
    await expect(
      world.bus.ask({ from: 'nobody', to: 'x', content: {}, timeoutMs: 1 }),
    ).rejects.toThrow('agent "nobody" asks, but does not listen');
  });

  test('a task is answered under its id', async () => {
    const [boss, worker] = names();
    const a = await world.bus.subscribe(boss);
    const b = await world.other.subscribe(worker);
    const done: AgentMessage[] = [];
    a.registerHandler('TASK_RESPONSE', (message) => void done.push(message));
    b.registerHandler('TASK_REQUEST', async ({ id, from_agent: to }) => {
      await world.other.sendTaskResponse({ from: worker, to, replyTo: id, result: { ok: true } });
    });
    const request = await world.bus.sendTaskRequest({
      from: boss,
      to: worker,
      content: { dig: 1 },
    });
    await waitUntil(() => done.length === 1, WAIT);
    expect(done[0]).toMatchObject({ reply_to: request.id, content: { ok: true } });
    await Promise.all([a.close(), b.close()]);
  });

  if (name !== 'simple') {
    test('a message whose handler failed is delivered again', async () => {
      const [from, to] = names();
      const agent = await world.other.subscribe(to);
      let tries = 0;
      agent.registerHandler('NOTIFICATION', () => {
        tries++;
        if (tries === 1) throw new Error('not now');
      });
      await world.bus.publish({ type: 'NOTIFICATION', from, to, content: {} });
      await waitUntil(() => tries === 2, WAIT);
      await agent.close();
    });

    test('the same question of a next attempt is asked once, and its answer is kept', async () => {
      const [asker, answerer] = names();
      const a = await world.bus.subscribe(asker);
      const b = await world.other.subscribe(answerer);
      let asked = 0;
      b.registerHandler('QUERY', async ({ id, from_agent: to }) => {
        asked++;
        await world.other.sendTaskResponse({
          type: 'RESPONSE',
          from: answerer,
          to,
          replyTo: id,
          result: { text: `answer ${asked}` },
        });
      });
      const ask = (): Promise<AgentMessage> =>
        world.bus.ask({
          from: asker,
          to: answerer,
          content: {},
          timeoutMs: 20_000,
          key: `key of ${asker}`,
        });
      expect(textOf(await ask())).toBe('answer 1');
      expect(textOf(await ask())).toBe('answer 1');
      expect(asked).toBe(1);
      await Promise.all([a.close(), b.close()]);
    });

    test('of two answers the first one counts', async () => {
      const [asker, answerer] = names();
      const a = await world.bus.subscribe(asker);
      const b = await world.other.subscribe(answerer);
      b.registerHandler('QUERY', async ({ id, from_agent: to }) => {
        for (const text of ['first', 'second'])
          await world.other.sendTaskResponse({
            type: 'RESPONSE',
            from: answerer,
            to,
            replyTo: id,
            result: { text },
          });
      });
      const answer = await world.bus.ask({
        from: asker,
        to: answerer,
        content: {},
        timeoutMs: 20_000,
      });
      expect(textOf(answer)).toBe('first');
      await Promise.all([a.close(), b.close()]);
    });
  }
});

test('the agent of a node can be told apart again, whatever its id', () => {
  const execution = newId();
  expect(nodeOfAgent(nodeAgentId(execution, 'my-node-1'))).toEqual({
    executionId: execution,
    nodeId: 'my-node-1',
  });
  expect(nodeOfAgent('somebody-else')).toBeUndefined();
});
