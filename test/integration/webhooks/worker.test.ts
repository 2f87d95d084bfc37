/** Webhooks of runs that real workers execute, and of one that is ended in its worker's place. */
import { setTimeout as pause } from 'node:timers/promises';
import { Annotation, interrupt, StateGraph } from '@langchain/langgraph';
import { startReceiver } from '../../support/receiver.ts';
import type { Receiver } from '../../support/receiver.ts';
import { startTestServer } from '../../support/server.ts';
import type { TestServer } from '../../support/server.ts';
import { waitUntil } from '../../support/wait-until.ts';

const WAIT = { timeoutMs: 20_000 };

const State = Annotation.Root({ act: Annotation<string>(), done: Annotation<boolean> });
const graph = new StateGraph(State)
  .addNode('node', async ({ act }: typeof State.State) => {
    if (act === 'fail') throw new TypeError('as asked');
    if (act === 'ask') interrupt('what now?');
    if (act === 'sleep') await pause(60_000, undefined, { ref: false });
    return { done: true };
  })
  .addEdge('__start__', 'node')
  .compile();

let app: TestServer;
let receiver: Receiver;
beforeAll(async () => {
  app = await startTestServer({
    redis: false,
    graph,
    environment: { WEBHOOK_ALLOW: '127.0.0.0/8', CANCEL_DEADLINE_SECS: '0.2' },
  });
  receiver = await startReceiver();
});
afterAll(async () => {
  await app.stop();
  await receiver.stop();
});
beforeEach(() => {
  receiver.received.length = 0;
});

async function createRun(act: string, given: object = {}): Promise<Record<string, string>> {
  const answer = await app.call('POST', '/runs', {
    assistant_id: 'test',
    input: { act },
    webhook: `${receiver.url}/hook`,
    on_completion: 'keep',
    ...given,
  });
  return answer.json() as Record<string, string>;
}

const told = (): Promise<Receiver['received'][number]> =>
  waitUntil(() => receiver.of('/hook')[0], WAIT);

test('success comes with the thread’s values, an interrupted thread is one', async () => {
  await createRun('go');
  expect((await told()).body).toMatchObject({
    status: 'success',
    values: { act: 'go', done: true },
    kwargs: { input: { act: 'go' }, webhook: `${receiver.url}/hook` },
  });
  receiver.received.length = 0;
  await createRun('ask');
  expect((await told()).body).toMatchObject({ status: 'success', values: { act: 'ask' } });
});

test('a stateless run has no values to tell', async () => {
  const run = await createRun('go', { on_completion: 'delete' });
  const { body } = await told();
  expect(body).toMatchObject({ run_id: run['run_id'], status: 'success' });
  expect(body).not.toHaveProperty('values');
});

test('an error is told with its message', async () => {
  await createRun('fail');
  expect((await told()).body).toMatchObject({ status: 'error', error: 'as asked' });
});

test('a run that was cancelled while it ran is told as interrupted', async () => {
  const { run_id: runId, thread_id: threadId } = await createRun('sleep');
  const place = `/threads/${String(threadId)}/runs/${String(runId)}`;
  await waitUntil(
    async () => ((await app.call('GET', place)).json() as { status: string }).status === 'running',
    WAIT,
  );
  await app.call('POST', `${place}/cancel`);
  const { body } = await told();
  expect(body).toMatchObject({ run_id: runId, status: 'interrupted' });
  expect(body).not.toHaveProperty('values');
});

test('a run whose worker is fenced tells its end all the same', async () => {
  const { run_id: runId, thread_id: threadId } = await createRun('go', { after_seconds: 3_600 });
  // Its worker is none of this test's: it never reacts.
  await app.core.pool.query(
    `WITH thread AS (UPDATE threads SET term = 1, log_term = 1, log_clean = false WHERE thread_id = $2),
     term AS (INSERT INTO terms (thread_id, term, start_seq, run_id, attempt) VALUES ($2, 1, 1, $1, 1))
     UPDATE runs SET status = 'running', term = 1, attempt = 1, first_seq = 1, started_at = now(),
       lease_expires_at = now() + interval '1 h' WHERE run_id = $1`,
    [runId, threadId],
  );
  await app.call('POST', `/threads/${String(threadId)}/runs/${String(runId)}/cancel`);
  expect((await told()).body).toMatchObject({ run_id: runId, status: 'interrupted' });
});
