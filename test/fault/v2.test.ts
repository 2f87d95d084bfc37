/**
 * The thread stream of protocol v2 survives the death of the server process it is read from, and of the worker
 * that feeds it, with every event once: for a plain client with Last-Event-ID, over a WebSocket, and for the
 * official SDK.
 */
import { Client } from '@langchain/langgraph-sdk';
import { newId } from '../../src/ids.ts';
import { startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { command, ended, openEvents, openSocket, rootStates } from '../support/v2-client.ts';
import type { Envelope, EventStream, SocketClient } from '../support/v2-client.ts';
import { waitUntil } from '../support/wait-until.ts';

const CHANNELS = { channels: ['custom', 'values', 'lifecycle', 'checkpoints', 'tasks'] };
const PLAN = { steps: 30, events: 10, eventMs: 20 };
const COUNT = PLAN.steps * PLAN.events;

const customs = (events: readonly Envelope[]): Envelope[] =>
  events.filter(({ method }) => method === 'custom');

/** Ids of all v2 events of the thread, as clients should have seen them, from Postgres. */
async function storedIds(cluster: Cluster, threadId: string): Promise<string[]> {
  const { rows } = await cluster.pool.query<{ seq: number; term: number; broken: boolean }>(
    `SELECT e.seq, e.term, EXISTS (SELECT 1 FROM terms t
       WHERE t.thread_id = e.thread_id AND t.term <= e.term AND t.attempt > 1) AS broken
     FROM events e WHERE thread_id = $1 AND type ~ '^v2:(custom|values|lifecycle|checkpoints|tasks)'
     ORDER BY seq`,
    [threadId],
  );
  return rows.map(({ seq, term, broken }) => (broken ? `${seq}-${term}` : String(seq)));
}

const idsOf = (events: readonly Envelope[]): string[] =>
  events.map(({ event_id: id }) => id ?? 'none');

async function start(url: string, threadId: string): Promise<string> {
  const answer = await command(url, threadId, 'run.start', {
    assistant_id: 'probe',
    input: { plan: PLAN },
    config: { recursion_limit: 1_000 },
  });
  expect(answer.type).toBe('success');
  return String(answer.result?.['run_id']);
}

describe.each([{ redis: true }, { redis: false }])('with redis: $redis', ({ redis }) => {
  let cluster: Cluster;
  beforeEach(async () => {
    cluster = await startCluster({
      servers: 2,
      workers: 2,
      // One attempt is lost here, by a kill.
      env: { WORKER_HEARTBEAT_TTL: '4' },
      ...(redis ? {} : { redis: false as const }),
    });
  }, 120_000);
  afterEach(() => cluster.stop(), 60_000);

  const urls = (): [string, string] => {
    const [first, second] = cluster.servers;
    return [first?.url ?? '', second?.url ?? ''];
  };

  /** Reads the thread over SSE; when the stream breaks, from the other server with the last id. */
  async function follow(threadId: string): Promise<{ readonly events: Envelope[]; stop(): void }> {
    const [first, second] = urls();
    const streams: EventStream[] = [await openEvents(first, threadId, CHANNELS)];
    const events = (): Envelope[] => streams.flatMap((stream) => stream.events);
    let stopped = false;
    const reconnect = async (): Promise<void> => {
      await waitUntil(() => stopped || streams[0]?.over !== undefined, { timeoutMs: 90_000 });
      if (stopped) return;
      const id = streams[0]?.frames.at(-1)?.id;
      streams.push(
        await openEvents(
          second,
          threadId,
          CHANNELS,
          id === undefined ? {} : { 'last-event-id': id },
        ),
      );
    };
    // Fails when the test has failed already; the test says so.
    const reconnected = reconnect().catch(() => undefined);
    return {
      get events() {
        return events();
      },
      stop() {
        stopped = true;
        void reconnected.then(() => {
          for (const stream of streams) stream.close();
        });
      },
    };
  }

  test('the server that is read from dies: the rest comes from another, each event once', async () => {
    const [first, second] = urls();
    const threadId = newId();
    const reader = await follow(threadId);
    const sockets: SocketClient[] = [await openSocket(first, threadId)];
    await sockets[0]?.send('subscription.subscribe', CHANNELS);
    await start(second, threadId);
    await waitUntil(() => customs(reader.events).length > 50, { timeoutMs: 30_000 });

    await cluster.servers[0]?.process.kill();
    expect(customs(reader.events).length).toBeLessThan(COUNT);
    await waitUntil(() => sockets[0]?.closed, { timeoutMs: 30_000 });
    const again = await openSocket(second, threadId);
    sockets.push(again);
    await again.send('subscription.subscribe', CHANNELS);

    const all = await waitUntil(
      () => (rootStates(reader.events).includes('completed') ? reader.events : undefined),
      { timeoutMs: 60_000 },
    );
    const stored = await storedIds(cluster, threadId);
    expect(idsOf(all)).toEqual(stored);
    expect(customs(all)).toHaveLength(COUNT);
    // A new subscription gets everything: each id once, in order.
    await waitUntil(() => again.events.length >= stored.length, { timeoutMs: 30_000 });
    expect(idsOf(again.events)).toEqual(stored);
    reader.stop();
    again.ws.terminate();
  });

  test('the worker that feeds it dies: the stream goes on with the next attempt, each event once', async () => {
    const [first, second] = urls();
    const threadId = newId();
    const reader = await follow(threadId);
    const socket = await openSocket(second, threadId);
    await socket.send('subscription.subscribe', CHANNELS);
    const runId = await start(first, threadId);
    await waitUntil(() => customs(reader.events).length > 50, { timeoutMs: 30_000 });

    await cluster.workers.get(await cluster.workerOf(runId))?.kill();
    const all = await waitUntil(
      () => (rootStates(reader.events).includes('completed') ? reader.events : undefined),
      { timeoutMs: 90_000 },
    );
    expect((await cluster.row(runId)).attempt).toBe(2);
    expect(rootStates(all)).toEqual(['running', 'running', 'completed']);
    const stored = await storedIds(cluster, threadId);
    expect(stored.some((id) => id.includes('-'))).toBe(true);
    expect(idsOf(all)).toEqual(stored);
    await ended(socket);
    expect(idsOf(socket.events)).toEqual(stored);
    // Both attempts together counted everything.
    const counted = customs(all).map(({ params }) => (params.data['payload'] as { n: number }).n);
    expect(new Set(counted)).toEqual(new Set(Array.from({ length: COUNT }, (_, n) => n)));
    reader.stop();
    socket.ws.terminate();
  });

  test('the official SDK reads on by itself when its server dies', async () => {
    const alive = urls();
    const client = new Client({ apiUrl: 'http://millrace.test', apiKey: null });
    const thread = client.threads.stream(newId(), {
      assistantId: 'probe',
      reconnectDelayMs: () => 50,
      // What a load balancer does.
      fetch: (input, init) => {
        const { pathname, search } = new URL(input instanceof Request ? input.url : input);
        return fetch(`${alive[0]}${pathname}${search}`, init);
      },
    });
    const counted: number[] = [];
    const subscription = await thread.subscribe({ channels: ['custom'] });
    const reading = (async () => {
      for await (const event of subscription) {
        const { payload } = (event as unknown as Envelope).params.data as {
          payload: { n: number };
        };
        counted.push(payload.n);
      }
    })();
    await thread.run.start({ input: { plan: PLAN }, config: { recursion_limit: 1_000 } });
    await waitUntil(() => counted.length > 50, { timeoutMs: 30_000 });
    alive.reverse();
    await cluster.servers[0]?.process.kill();
    await waitUntil(() => counted.length >= COUNT, { timeoutMs: 60_000 });
    expect(counted).toEqual(Array.from({ length: COUNT }, (_, n) => n));
    await thread.close();
    await reading;
  });
});
