/** A thread whose last run is deleted shows what is left: nothing in its row is the deleted run's. */
import { Annotation, END, interrupt, START, StateGraph } from '@langchain/langgraph';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';

const State = Annotation.Root({ n: Annotation<number>(), does: Annotation<string>() });
const graph = new StateGraph(State)
  .addNode('act', ({ does }) => {
    if (does === 'fail') throw new RangeError('told to fail');
    if (does === 'ask') interrupt('go on?');
    return {};
  })
  .addEdge(START, 'act')
  .addEdge('act', END)
  .compile();

let app: TestServer;
beforeAll(async () => {
  app = await startTestServer({ redis: false, graph });
});
afterAll(() => app.stop());

interface Thread {
  status: string;
  values: unknown;
  interrupts: Record<string, unknown[]>;
  error?: unknown;
}

async function newThread(): Promise<string> {
  return ((await app.call('POST', '/threads', {})).json() as { thread_id: string }).thread_id;
}

/** @returns its id, once it has ended */
async function run(threadId: string, n: number, does: string): Promise<string> {
  const path = `/threads/${threadId}/runs`;
  const created = await app.call('POST', path, { assistant_id: 'test', input: { n, does } });
  const { run_id: runId } = created.json() as { run_id: string };
  await app.call('GET', `${path}/${runId}/join`);
  return runId;
}

async function shown(threadId: string): Promise<unknown> {
  const thread = (await app.call('GET', `/threads/${threadId}`)).json() as Thread;
  const { status, values, interrupts, error } = thread;
  return { status, values, questions: Object.values(interrupts).flat().length, error };
}

async function remove(threadId: string, runId: string): Promise<void> {
  expect((await app.call('DELETE', `/threads/${threadId}/runs/${runId}`)).status).toBe(204);
  // The row shows what the state is.
  const state = (await app.call('GET', `/threads/${threadId}/state`)).json() as Thread;
  expect(await shown(threadId)).toMatchObject({ values: state.values });
}

const after = (n: number, does: string): object => ({
  status: does === 'ask' ? 'interrupted' : does === 'fail' ? 'error' : 'idle',
  values: { n, does },
  questions: does === 'ask' ? 1 : 0,
  error: does === 'fail' ? { error: 'RangeError', message: 'told to fail' } : undefined,
});

test.each(['end', 'ask', 'fail'])(
  'the last run, which was to %s, leaves what the one before it came to',
  async (does) => {
    for (const before of ['end', 'ask', 'fail']) {
      const threadId = await newThread();
      await run(threadId, 1, before);
      const last = await run(threadId, 2, does);
      expect(await shown(threadId)).toMatchObject({ status: (after(2, does) as Thread).status });
      await remove(threadId, last);
      expect(await shown(threadId)).toEqual(after(1, before));
    }
  },
);

test('the only run leaves an empty thread', async () => {
  const threadId = await newThread();
  await remove(threadId, await run(threadId, 1, 'ask'));
  expect(await shown(threadId)).toMatchObject({ status: 'idle', questions: 0 });
});

test('an earlier run takes nothing of the last one’s', async () => {
  const threadId = await newThread();
  const first = await run(threadId, 1, 'end');
  await run(threadId, 2, 'fail');
  await remove(threadId, first);
  expect(await shown(threadId)).toEqual(after(2, 'fail'));
});

test('a run that has not begun yet keeps the row as it is', async () => {
  const threadId = await newThread();
  const first = await run(threadId, 1, 'ask');
  const path = `/threads/${threadId}/runs`;
  const created = await app.call('POST', path, {
    assistant_id: 'test',
    input: {},
    after_seconds: 3_600,
  });
  const { run_id: second } = created.json() as { run_id: string };
  expect((await app.call('DELETE', `${path}/${first}`)).status).toBe(204);
  expect(await shown(threadId)).toMatchObject({ status: 'busy', values: { n: 1 } });
  // What the deleted run asked is not asked again when that one is taken back.
  await app.call('POST', '/runs/cancel', { thread_id: threadId, run_ids: [second] });
  expect(await shown(threadId)).toMatchObject({ status: 'idle' });
});
