/**
 * What a trivial run asks of the stores, counted: each statement and each Redis command is a write, a wake-up and
 * a read in two processes, which is most of what such a run costs. A figure here may only go down.
 */
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { Redis } from 'ioredis';
import type pg from 'pg';
import { holdGatherWindows } from '../../support/gather-windows.ts';
import { startRedis } from '../../support/redis.ts';
import type { TestRedis } from '../../support/redis.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

const RUNS = 40;
const State = Annotation.Root({ n: Annotation<number>() });
const graph = new StateGraph(State)
  .addNode('add', ({ n }) => ({ n: n + 1 }))
  .addEdge(START, 'add')
  .addEdge('add', END)
  .compile();

let redis: TestRedis;
let app: TestServer;
beforeAll(async () => {
  redis = await startRedis();
  app = await startTestServer({
    redis: true,
    redisUrl: redis.url,
    graph,
    // Chores of their own time would be counted as the runs'.
    environment: { SWEEPER_INTERVAL: '3600' },
  });
});
afterAll(async () => {
  await app.stop();
  await redis.stop();
});

/** Statements by name, or by their beginning, that any connection of the pool sends from now on. */
function countStatements(): Map<string, number> {
  const sent = new Map<string, number>();
  const seen = new WeakSet<pg.PoolClient>();
  app.core.pool.on('acquire', (client) => {
    if (seen.has(client)) return;
    seen.add(client);
    const query = client.query.bind(client) as (...args: unknown[]) => unknown;
    client.query = ((...args: unknown[]) => {
      const [config] = args as [string | { name?: string; text: string }];
      const text = typeof config === 'string' ? config : (config.name ?? config.text);
      const name = text.trim().replaceAll(/\s+/g, ' ').slice(0, 60);
      sent.set(name, (sent.get(name) ?? 0) + 1);
      return query(...args);
    }) as typeof client.query;
  });
  return sent;
}

async function countCommands(): Promise<{ sent: Map<string, number>; stop(): void }> {
  const connection = new Redis(redis.url);
  const monitor = await connection.monitor();
  const sent = new Map<string, number>();
  monitor.on('monitor', (_time: string, [command]: string[], source: string) => {
    if (source === 'lua' || command === undefined) return;
    const name = command.toLowerCase();
    sent.set(name, (sent.get(name) ?? 0) + 1);
  });
  return {
    sent,
    stop() {
      monitor.disconnect();
      connection.disconnect();
    },
  };
}

async function wait(n: number): Promise<void> {
  const answer = await app.call('POST', '/runs/wait', { assistant_id: 'test', input: { n } });
  expect(answer.json()).toEqual({ n: n + 1 });
}

const perRun = (sent: ReadonlyMap<string, number>): number =>
  [...sent.values()].reduce((all, n) => all + n, 0) / RUNS;

test('a trivial run: create, claim, end, answer, and nothing more', async () => {
  for (let n = 0; n < 5; n++) await wait(n);
  const statements = countStatements();
  const { sent: commands, stop } = await countCommands();
  const begun = performance.now();
  const close = holdGatherWindows();
  try {
    for (let n = 0; n < RUNS; n++) await wait(n);
  } finally {
    close();
  }
  // The hints that follow an end.
  await waitUntil(() => (commands.get('evalsha') ?? 0) >= RUNS, { timeoutMs: 20_000 });
  stop();
  // On a busy machine the runs take longer than a second: what is done once a second is not theirs.
  const secondsMore = Math.floor((performance.now() - begun) / 1_000);
  // Parties, create, claim, end, outcome; now and then a look for runs, which is two, one for ends, and a wake-up whose run
  // the look has taken.
  expect(perRun(statements)).toBeLessThanOrEqual(5.2 + (4 * secondsMore) / RUNS);
  // BullMQ has seven of them, the log's close is one; the archiver and the queue ask anew now and then.
  expect(perRun(commands)).toBeLessThanOrEqual(8.5 + (2 * secondsMore) / RUNS);
});
