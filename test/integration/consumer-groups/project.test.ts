/** A group of the project (langgraph.json): its function is called in this process. */
import { fileURLToPath } from 'node:url';
import { createCore } from '../../../src/app.ts';
import { beginRun, createThread, endRun, startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { waitUntil } from '../../support/wait-until.ts';

const FILE = fileURLToPath(
  new URL('../../support/consumer-project/langgraph.json', import.meta.url),
);
const WAIT = { timeoutMs: 20_000 };

const kept = globalThis as {
  consumed?: { thread_id: string; events: { id: string; data: unknown }[] }[];
};

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp({
    redis: false,
    worker: false,
    file: FILE,
    environment: { WEBHOOK_RETRY_SECS: '0.05', WEBHOOK_MAX_ATTEMPTS: '2' },
  });
});
afterAll(() => app.stop());

test('a function is given the events, one that it fails at is a dead letter', async () => {
  const threadId = await createThread(app);
  const owner = await beginRun(app, threadId);
  const rows = ['a', 'poison', 'b'].map((text, i) => ({
    threadId,
    seq: i + 1,
    term: owner.term,
    type: 'custom',
    data: JSON.stringify(text),
  }));
  await endRun(app, owner, 3, rows);
  await waitUntil(() => kept.consumed?.length === 4, WAIT);
  expect(kept.consumed?.map(({ events }) => events[0]?.data)).toEqual([
    'a',
    'poison',
    'poison',
    'b',
  ]);
  const { rows: dead } = await app.core.pool.query(
    'SELECT seq, error, attempts FROM consumer_group_dead_letters',
  );
  expect(dead).toEqual([{ seq: 2, error: 'poison', attempts: 2 }]);
});

test('a project that comes back finds its group where it was; a name of the API is refused', async () => {
  const again = async (): Promise<void> => {
    const core = await createCore(app.core.config, app.core.log, { file: FILE });
    try {
      await core.start();
    } finally {
      await core.stop();
    }
  };
  await again();
  const { rows } = await app.core.pool.query('SELECT name, source FROM consumer_groups');
  expect(rows).toEqual([{ name: 'of-the-project', source: 'project' }]);
  await app.core.pool.query(`UPDATE consumer_groups SET source = 'api'`);
  await expect(again()).rejects.toThrow('consumer_groups.of-the-project: the API has made');
});
