/**
 * What a trivial run asks of the stores, counted: each statement and each Redis command is a write, a wake-up and
 * a read in two processes, which is most of what such a run costs. A figure here may only go down.
 */
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { Redis } from 'ioredis';
import type pg from 'pg';
import { startRedis } from '../../support/redis.ts';
import type { TestRedis } from '../../support/redis.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

const RUNS = 40;
const STRETCH = 10;
const State = Annotation.Root({ n: Annotation<number>() });
const graph = new StateGraph(State)
  .addNode('add', ({ n }) => ({ n: n + 1 }))
  .addEdge(START, 'add')
  .addEdge('add', END)
  .compile();

let redis: TestRedis;
let app: TestServer;
let direct: TestServer;
beforeAll(async () => {
  redis = await startRedis();
  app = await startTestServer({
    redis: true,
    redisUrl: redis.url,
    graph,
    // Chores of their own time would be counted as the runs'.
    environment: { SWEEPER_INTERVAL: '3600' },
  });
  direct = await startTestServer({
    redis: false,
    graph,
    environment: { SWEEPER_INTERVAL: '3600' },
  });
});
afterAll(async () => {
  await app.stop();
  await direct.stop();
  await redis.stop();
});

/** Statements by name, or by their beginning, that any connection of the pool sends from now on. */
function countStatements(of: TestServer): Map<string, number> {
  const sent = new Map<string, number>();
  const seen = new WeakSet<pg.PoolClient>();
  of.core.pool.on('acquire', (client) => {
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

async function wait(of: TestServer, n: number): Promise<void> {
  const answer = await of.call('POST', '/runs/wait', { assistant_id: 'test', input: { n } });
  expect(answer.json()).toEqual({ n: n + 1 });
}

const all = (sent: ReadonlyMap<string, number>): number =>
  [...sent.values()].reduce((sum, n) => sum + n, 0);

/**
 * Runs one after another. A run that takes longer than its events and checkpoints wait for its end costs more, and on
 * a busy machine many do: of the stretches of `STRETCH` runs the cheapest counts.
 * @returns what was sent a run
 */
async function cheapest(
  of: TestServer,
  sent: readonly ReadonlyMap<string, number>[],
): Promise<number[]> {
  const counts = [sent.map(all)];
  for (let n = 0; n < RUNS; n++) {
    await wait(of, n);
    counts.push(sent.map(all));
  }
  return sent.map((_, i) => {
    const stretches = counts
      .slice(STRETCH)
      .map((after, n) => ((after[i] ?? 0) - (counts[n]?.[i] ?? 0)) / STRETCH);
    return Math.min(...stretches);
  });
}

test('a trivial run: create, claim, end, and nothing more', async () => {
  for (let n = 0; n < 5; n++) await wait(app, n);
  const statements = countStatements(app);
  const { sent: commands, stop } = await countCommands();
  const [perRun, commandsPerRun] = await cheapest(app, [statements, commands]);
  // The hints that follow an end.
  await waitUntil(() => (commands.get('evalsha') ?? 0) >= RUNS, { timeoutMs: 20_000 });
  stop();
  // Create, claim, end; a look for runs now and then.
  expect(perRun).toBeLessThanOrEqual(3.2);
  expect([...statements.keys()]).not.toContain('run-parties');
  // BullMQ has seven of them, the log's close is one.
  expect(commandsPerRun).toBeLessThanOrEqual(8.5);
});

test('without Redis the log and its signals are Postgres, too; nobody looks for runs in vain', async () => {
  for (let n = 0; n < 5; n++) await wait(direct, n);
  // Create, claim, end, outcome; of events that do not wait for the end an append; signals: queue, log, log and ended.
  const [perRun] = await cheapest(direct, [countStatements(direct)]);
  expect(perRun).toBeLessThanOrEqual(8.5);
});
