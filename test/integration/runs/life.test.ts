/** The whole way of a run, on both paths of the log: accepted, executed, read live, archived, ended. */
import { Annotation, StateGraph } from '@langchain/langgraph';
import type { LangGraphRunnableConfig } from '@langchain/langgraph';
import { submitRun } from '../../../src/runs/submit.ts';
import { createThread, newRun, readAll, startTestApp } from '../../support/app.ts';
import type { TestApp } from '../../support/app.ts';

const State = Annotation.Root({ count: Annotation<number>(), done: Annotation<number> });
const graph = new StateGraph(State)
  .addNode('emit', (state: typeof State.State, config: LangGraphRunnableConfig) => {
    for (let i = 0; i < state.count; i++) config.writer?.({ i });
    return { done: state.count };
  })
  .addEdge('__start__', 'emit')
  .compile();

describe.each([
  ['with Redis', true],
  ['on the direct path', false],
])('%s', (_name, redis) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({ redis, graph });
  });
  afterAll(async () => {
    await app.stop();
  });

  test('a reader that came before the run began gets every event once and the end', async () => {
    const threadId = await createThread(app);
    const run = newRun(app, threadId, { input: { count: 300 } });
    await submitRun(app.core.submit, run);
    const got = await readAll(app, { threadId, runId: run.runId });
    expect(got.status).toBe('success');
    expect(got.events[0]).toMatchObject({ seq: 1, type: 'metadata', data: { attempt: 1 } });
    expect(got.events.filter((e) => e.type === 'custom').map((e) => e.data)).toEqual(
      Array.from({ length: 300 }, (_, i) => ({ i })),
    );
    expect(got.events.map((e) => e.seq)).toEqual(got.events.map((_, i) => i + 1));

    const archived = await app.core.pool.query<{ n: number }>(
      'SELECT count(*)::int AS n FROM events WHERE thread_id = $1',
      [threadId],
    );
    expect(archived.rows[0]?.n).toBe(got.events.length);
    const late = await readAll(app, { threadId, runId: run.runId });
    expect(late).toEqual(got);
    const thread = await app.core.pool.query(
      'SELECT status, "values", active_runs, log_clean FROM threads WHERE thread_id = $1',
      [threadId],
    );
    expect(thread.rows[0]).toEqual({
      status: 'idle',
      values: { count: 300, done: 300 },
      active_runs: 0,
      log_clean: true,
    });
  });

  test('runs of one thread go one after the other, each with its own range of the log', async () => {
    const threadId = await createThread(app);
    const runs = Array.from({ length: 5 }, () => newRun(app, threadId, { input: { count: 3 } }));
    for (const run of runs) await submitRun(app.core.submit, run);
    const got = await Promise.all(runs.map((run) => readAll(app, { threadId, runId: run.runId })));
    let next = 1;
    for (const transcript of got) {
      expect(transcript.status).toBe('success');
      for (const event of transcript.events) expect(event.seq).toBe(next++);
    }
  });
});
