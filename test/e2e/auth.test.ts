/** Two users of one deployment, by the official SDK: server and worker processes of dist/, the project's own auth.ts. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@langchain/langgraph-sdk';
import { PATIENT, startCluster } from '../support/cluster.ts';
import type { Cluster } from '../support/cluster.ts';
import { startMillrace } from '../support/processes.ts';

const PROJECT = fileURLToPath(new URL('../support/auth-project/langgraph.json', import.meta.url));
let cluster: Cluster;
let ada: Client, bob: Client, nobody: Client;

beforeAll(async () => {
  cluster = await startCluster({ env: { ...PATIENT, LANGGRAPH_CONFIG_PATH: PROJECT } });
  const { url } = cluster;
  const options = { apiUrl: url, callerOptions: { maxRetries: 0 } };
  ada = new Client({ ...options, apiKey: 'ada' });
  bob = new Client({
    ...options,
    apiKey: null,
    defaultHeaders: { authorization: 'Bearer bob' },
  });
  nobody = new Client({ ...options, apiKey: null });
}, 120_000);
afterAll(() => cluster.stop(), 120_000);

async function all<T>(events: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const event of events) list.push(event);
  return list;
}

test('a run in a worker is told whose it is, and nobody else can follow it', async () => {
  const { thread_id: threadId } = await ada.threads.create();
  const events = await all(
    ada.runs.stream(threadId, 'agent', { input: { n: 1 }, streamResumable: true }),
  );
  const last = events.at(-1)?.data as { user: { user: object; id: string } };
  expect(last.user).toMatchObject({ id: 'ada', user: { token: 'token-of-ada' } });
  const [run] = await ada.runs.list(threadId);
  const runId = run?.run_id ?? '';

  expect((await all(ada.runs.joinStream(threadId, runId, { lastEventId: '-1' }))).length).toBe(
    events.length,
  );
  expect(await all(bob.runs.joinStream(threadId, runId, { lastEventId: '-1' }))).toEqual([
    expect.objectContaining({
      event: 'error',
      data: { error: 'Error', message: '404: Thread not found' },
    }),
  ]);
  for (const refused of [
    bob.runs.get(threadId, runId),
    bob.runs.list(threadId),
    bob.runs.join(threadId, runId),
    bob.runs.cancel(threadId, runId),
    bob.runs.delete(threadId, runId),
    bob.runs.wait(threadId, 'agent', { input: {} }),
    bob.threads.get(threadId),
    bob.threads.getState(threadId),
    bob.threads.getHistory(threadId),
    bob.threads.update(threadId, { metadata: {} }),
    bob.threads.delete(threadId),
  ])
    await expect(refused).rejects.toThrow('HTTP 404');
  await expect(bob.threads.copy(threadId)).rejects.toThrow('HTTP 409');
  await expect(bob.threads.create({ threadId, ifExists: 'do_nothing' })).rejects.toThrow(
    'HTTP 409: Thread already exists',
  );
  await expect(nobody.threads.get(threadId)).rejects.toThrow('HTTP 401: Who are you');
  expect((await bob.threads.search()).map((thread) => thread.thread_id)).not.toContain(threadId);
  expect((await ada.threads.search()).map((thread) => thread.thread_id)).toContain(threadId);
});

test('stateless runs, assistants, crons and items are their users’', async () => {
  expect(await bob.runs.wait(null, 'agent', { input: {} })).toMatchObject({ user: { id: 'bob' } });
  const assistant = await ada.assistants.create({ graphId: 'agent', name: 'mine' });
  await expect(bob.assistants.get(assistant.assistant_id)).rejects.toThrow('HTTP 404');
  await expect(bob.runs.create(null, assistant.assistant_id, { input: {} })).rejects.toThrow(
    'HTTP 404',
  );
  const cron = await ada.crons.create(assistant.assistant_id, { schedule: '0 0 1 1 *' });
  expect(await ada.crons.search()).toHaveLength(1);
  expect(await bob.crons.search()).toEqual([]);
  await expect(bob.crons.delete((cron as { cron_id: string }).cron_id)).rejects.toThrow('HTTP 404');
  await ada.store.putItem(['notes'], 'k', { text: 'hers' });
  expect(await ada.store.getItem(['notes'], 'k')).toMatchObject({ value: { text: 'hers' } });
  expect(await bob.store.getItem(['notes'], 'k')).toBeNull();
  expect((await bob.store.searchItems([])).items).toEqual([]);
});

test.each(['serve', 'worker'])(
  '%s does not start with an auth module that cannot be asked',
  async (command) => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-auth-'));
    await writeFile(join(folder, 'auth.mjs'), 'export const auth = {};');
    await writeFile(
      join(folder, 'langgraph.json'),
      JSON.stringify({ graphs: {}, auth: { path: './auth.mjs:auth' } }),
    );
    const start = startMillrace([command], {
      env: {
        DATABASE_URL: cluster.databaseUrl,
        LANGGRAPH_CONFIG_PATH: join(folder, 'langgraph.json'),
        PORT: '0',
      },
      readyLine: /ready/,
    });
    await expect(start).rejects.toThrow(/auth\.path: expected an Auth object/);
    await rm(folder, { recursive: true });
  },
);

test('protocol v2 by the SDK is the user’s, too', async () => {
  const { thread_id: threadId } = await ada.threads.create();
  const stream = ada.threads.stream(threadId, { assistantId: 'agent' });
  await stream.run.start({ input: { n: 1 } });
  await stream.close();
  await expect(
    (async () => {
      const spy = bob.threads.stream(threadId, { assistantId: 'agent' });
      try {
        await spy.run.start({ input: {} });
      } finally {
        await spy.close();
      }
    })(),
  ).rejects.toThrow('404');
});
