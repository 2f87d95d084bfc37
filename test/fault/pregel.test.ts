import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tmpdir } from 'node:os';
import { Client } from '@langchain/langgraph-sdk';
import { newId } from '../../src/ids.ts';
import { startCluster, type Cluster } from '../support/cluster.ts';
import { waitUntil } from '../support/wait-until.ts';

const GRAPHS = fileURLToPath(new URL('../support/pregel-project/langgraph.json', import.meta.url));
const ROUNDS = 300;
const file = join(tmpdir(), `millrace-rounds-${newId()}`);
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster({
    workers: 2,
    env: { LANGGRAPH_CONFIG_PATH: GRAPHS, WORKER_HEARTBEAT_TTL: '4' },
  });
}, 120_000);
afterAll(async () => {
  await cluster.stop();
  rmSync(file, { force: true });
}, 120_000);

const lines = (): string[] => {
  try {
    return readFileSync(file, 'utf8').trim().split('\n');
  } catch {
    return [];
  }
};

test('a Pregel run whose worker is killed goes on from its last superstep on another', async () => {
  const client = new Client({ apiUrl: cluster.url, apiKey: null });
  const { thread_id } = await client.threads.create();
  const run = await client.runs.create(thread_id, 'rounds', {
    input: { file, rounds: ROUNDS },
    config: { recursion_limit: 1_000 },
  });
  await waitUntil(() => lines().length > 200, { timeoutMs: 40_000, what: 'fifty rounds' });
  const victim = await cluster.workerOf(run.run_id);
  await cluster.workers.get(victim)?.kill();
  const before = lines().length;
  await waitUntil(async () => (await cluster.row(run.run_id)).status === 'success', {
    timeoutMs: 60_000,
    what: 'the run to end',
  });

  const expected = Array.from({ length: ROUNDS }, (_, round) =>
    ['begin', 'a', 'b', 'join'].map((name) => `${name}${round}`),
  ).flat();
  const state = await client.threads.getState<{ log: string[] }>(thread_id);
  expect(state.values.log).toEqual(expected);
  expect((await cluster.row(run.run_id)).attempt).toBe(2);
  // Only what was not stored yet when the worker died ran again.
  const ran = lines();
  const again = ran.filter((entry, place) => ran.indexOf(entry) < place);
  expect(before).toBeGreaterThan(200);
  expect(again.length).toBeLessThan(80);
  expect(new Set(ran)).toEqual(new Set(expected));
});
