/** What a thread's row shows after a change by hand: never an older state than the one that is there. */
import { Annotation, END, START, StateGraph } from '@langchain/langgraph';
import { z } from 'zod';
import type { Graph, ThreadState } from '../../../src/graphs/port.ts';
import { newId } from '../../../src/ids.ts';
import { createRun, createRunIn } from '../../../src/runs/create.ts';
import {
  END as OUR_END,
  START as OUR_START,
  StateGraph as OurGraph,
} from '../../../src/pregel/index.ts';
import { finishRun } from '../../../src/runs/finish.ts';
import { showCurrentState } from '../../../src/server/state-query.ts';
import { claimTerm, createThread, newRun, startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';
import { startTestServer } from '../../support/server.ts';

const ours = new OurGraph(z.object({ n: z.number() }))
  .addNode('a', () => ({}))
  .addEdge(OUR_START, 'a')
  .addEdge('a', OUR_END)
  .compile({ name: 'test' });
const theirs = new StateGraph(Annotation.Root({ n: Annotation<number>() }))
  .addNode('a', () => ({}))
  .addEdge(START, 'a')
  .addEdge('a', END)
  .compile();

describe.each([
  ['LangGraph.js', theirs],
  ['our Pregel', ours],
])('a change by hand of a graph of %s', (_what, graph) => {
  test('is shown, and the next one, too', async () => {
    const server = await startTestServer({ redis: false, worker: false, graph });
    try {
      const made = await server.call('POST', '/threads', { metadata: { graph_id: 'test' } });
      const { thread_id: id } = made.json() as { thread_id: string };
      for (const n of [1, 2]) {
        await server.call('POST', `/threads/${id}/state`, { values: { n }, as_node: 'a' });
        expect((await server.call('GET', `/threads/${id}`)).json()).toMatchObject({
          values: { n },
        });
      }
    } finally {
      await server.stop();
    }
  });
});

let app: TestApp;
beforeAll(async () => {
  app = await startTestApp({ redis: false, worker: false });
});
afterAll(() => app.stop());

/** A graph whose state is `n`; `meanwhile` happens after it was read and before it is shown. */
function graphWith(n: number, id: string | undefined, meanwhile: () => Promise<void>): Graph {
  const state: ThreadState = {
    values: { n },
    next: [],
    tasks: [],
    metadata: {},
    created_at: null,
    checkpoint:
      id === undefined
        ? null
        : { thread_id: '', checkpoint_ns: '', checkpoint_id: id, checkpoint_map: null },
    parent_checkpoint: null,
  };
  return { getState: () => meanwhile().then(() => state) } as unknown as Graph;
}

const show = (threadId: string, graph: Graph): Promise<void> =>
  showCurrentState(app.core.pool, graph, { threadId, config: { configurable: {}, metadata: {} } });

async function shown(threadId: string): Promise<unknown> {
  const { rows } = await app.core.pool.query<{ values: unknown }>(
    'SELECT "values" FROM threads WHERE thread_id = $1',
    [threadId],
  );
  return rows[0]?.values;
}

async function put(threadId: string): Promise<string> {
  const id = newId();
  await app.core.pool.query(
    `INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, head, metadata) VALUES ($1, '', $2, '{}', '{}')`,
    [threadId, id],
  );
  return id;
}

test('a run that began and ended meanwhile has shown its own state', async () => {
  const threadId = await createThread(app);
  const play = async (): Promise<void> => {
    const run = newRun(app, threadId);
    await createRun(app.core.pool, run);
    const owner = await claimTerm(app, run.runId);
    const finished = await finishRun(app.core.pool, {
      ...owner,
      status: 'success',
      error: null,
      output: null,
      state: { values: '{"n":2}', interrupts: '{}' },
      threadStatus: 'idle',
      rest: [],
      lastSeq: 0,
      webhook: null,
    });
    expect(finished.outcome).toBe('ended');
  };
  await show(threadId, graphWith(1, undefined, play));
  expect(await shown(threadId)).toEqual({ n: 2 });
  await show(
    threadId,
    graphWith(3, undefined, () => Promise.resolve()),
  );
  expect(await shown(threadId)).toEqual({ n: 3 });
});

test('of two changes at once the later one is shown', async () => {
  const threadId = await createThread(app);
  const first = await put(threadId);
  const later = async (): Promise<void> => {
    const second = await put(threadId);
    await show(
      threadId,
      graphWith(2, second, () => Promise.resolve()),
    );
  };
  await show(threadId, graphWith(1, first, later));
  expect(await shown(threadId)).toEqual({ n: 2 });
});

test('a thread with a run is left alone', async () => {
  const threadId = await createThread(app);
  await createRunIn(app.core.pool, newRun(app, threadId));
  await show(
    threadId,
    graphWith(1, undefined, () => Promise.resolve()),
  );
  expect(await shown(threadId)).toBeNull();
});
