import { playRun } from '../../support/play-run.ts';
import { startTestServer } from '../../support/server.ts';
import type { Answer, TestServer } from '../../support/server.ts';
import { openSseClient } from '../../support/sse-client.ts';
import { waitUntil } from '../../support/wait-until.ts';

/** Looks for ended runs fail from now on. @returns ends that */
function blindLooks({ core: { pool } }: TestServer): () => void {
  const query = Reflect.get(pool, 'query') as (...args: unknown[]) => Promise<unknown>;
  Object.defineProperty(pool, 'query', {
    configurable: true,
    value: (...args: unknown[]) =>
      (args[0] as { name?: string }).name === 'run-ends'
        ? Promise.reject(new Error('the looks are switched off'))
        : Reflect.apply(query, pool, args),
  });
  // What it had is the prototype's.
  return () => void Reflect.deleteProperty(pool, 'query');
}

/** Newlines come before it when it takes longer than a second. */
const documentOf = ({ text }: Answer): string => text.replace(/^\n+/, '');

describe.each([{ redis: true }, { redis: false }])('waiting, with redis: $redis', ({ redis }) => {
  let app: TestServer;
  beforeAll(async () => {
    app = await startTestServer({ redis, worker: false });
  });
  afterAll(() => app.stop());

  /** A waiting request, and its run, which the test plays. */
  async function wait(): Promise<{ answer: Promise<Answer>; threadId: string; runId: string }> {
    const created = await app.call('POST', '/threads', {});
    const { thread_id: threadId } = created.json() as { thread_id: string };
    const answer = app.call('POST', `/threads/${threadId}/runs/wait`, { assistant_id: 'test' });
    const runs = await waitUntil(
      async () => {
        const listed = (await app.call('GET', `/threads/${threadId}/runs`)).json();
        return (listed as { run_id: string }[])[0];
      },
      { timeoutMs: 20_000 },
    );
    return { answer, threadId, runId: runs.run_id };
  }
  const state = { values: '{"n":5}', interrupts: '{}' };

  test('answers with the output, else with the values of the thread', async () => {
    const one = await wait();
    await (await playRun(app, one.runId)).end({ output: '{"out":[1]}', state });
    const answer = await one.answer;
    expect([answer.status, documentOf(answer)]).toEqual([200, '{"out":[1]}']);
    expect(answer.headers.get('content-location')).toBe(
      `/threads/${one.threadId}/runs/${one.runId}`,
    );
    const two = await wait();
    await (await playRun(app, two.runId)).end({ state });
    expect(documentOf(await two.answer)).toBe('{"n":5}');
    expect(
      documentOf(await app.call('GET', `/threads/${two.threadId}/runs/${two.runId}/join`)),
    ).toBe('{"n":5}');
  });

  test.each(['interrupt', 'rollback'])(
    'is told when a run with %s takes the place of its own, and needs no look',
    async (multitask_strategy) => {
      const { answer, threadId } = await wait();
      const see = blindLooks(app);
      try {
        await app.call('POST', `/threads/${threadId}/runs`, {
          assistant_id: 'test',
          multitask_strategy,
        });
        expect((await answer).status).toBe(200);
      } finally {
        see();
      }
    },
  );

  test('is told when the run ends, and needs no look', async () => {
    const { answer, runId } = await wait();
    const run = await playRun(app, runId);
    const see = blindLooks(app);
    try {
      await run.end({ state });
      expect(documentOf(await answer)).toBe('{"n":5}');
    } finally {
      see();
    }
  });

  test('a long wait is kept alive by newlines, and its answer is still one JSON document', async () => {
    const created = await app.call('POST', '/threads', {});
    const { thread_id: threadId } = created.json() as { thread_id: string };
    const waiting = await openSseClient(`${app.url}/threads/${threadId}/runs/wait`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ assistant_id: 'test' }),
    });
    const place = waiting.headers.get('content-location') ?? '';
    const run = await playRun(app, place.split('/').at(-1) ?? '');
    const joined = await openSseClient(`${app.url}${place}/join`);
    const both = [waiting, joined];
    await waitUntil(() => both.every(({ text }) => text.startsWith('\n')), {
      timeoutMs: 20_000,
      what: 'the first newlines',
    });
    await run.end({ state });
    for (const one of both) {
      await waitUntil(() => one.over === 'ended', { timeoutMs: 20_000 });
      expect(one.text).toMatch(/^\n+\{"n":5\}$/);
      expect(JSON.parse(one.text)).toEqual({ n: 5 });
      expect(one.headers.get('content-type')).toBe('application/json');
    }
  });

  test('tells before the end which run it is and where to come back to', async () => {
    // With the first newline, after a second, they would come for sure. So once of several times, whatever the machine does.
    const response = await waitUntil(
      async () => {
        const created = await app.call('POST', '/threads', {});
        const { thread_id: threadId } = created.json() as { thread_id: string };
        return fetch(`${app.url}/threads/${threadId}/runs/wait`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ assistant_id: 'test' }),
          signal: AbortSignal.timeout(900),
        });
      },
      { timeoutMs: 20_000, what: 'headers before the first newline' },
    );
    const place = response.headers.get('content-location') ?? '';
    expect(response.headers.get('location')).toBe(`${place}/join`);
    await response.body?.cancel();
    const runId = place.split('/').at(-1) ?? '';
    const joined = app.call('GET', response.headers.get('location') ?? '');
    await (await playRun(app, runId)).end({ state });
    expect((await joined).json()).toEqual({ n: 5 });
  });

  test('a query parameter without a value is one that is not there', async () => {
    const { answer, runId, threadId } = await wait();
    await (await playRun(app, runId)).end({ state });
    await answer;
    const path = `/threads/${threadId}/runs/${runId}/stream`;
    const joined = await app.call('GET', `${path}?cancel_on_disconnect=false&stream_mode=`);
    expect([joined.status, joined.text]).toEqual([200, (await app.call('GET', path)).text]);
    expect((await app.call('GET', `${path}?stream_mode=x`)).status).toBe(400);
  });

  test('never answers null', async () => {
    const { answer, runId } = await wait();
    await (await playRun(app, runId)).end({ output: 'null' });
    expect(documentOf(await answer)).toBe('{}');
  });

  test('an error of the graph is told as __error__', async () => {
    const { answer, runId } = await wait();
    await (
      await playRun(app, runId)
    ).end({ status: 'error', threadStatus: 'error', error: { error: 'E', message: 'no luck' } });
    expect((await answer).json()).toEqual({ __error__: { error: 'E', message: 'no luck' } });
  });

  test('a run that is cancelled while it is pending ends its waits', async () => {
    const { answer, runId, threadId } = await wait();
    const cancelled = await app.call('POST', `/threads/${threadId}/runs/${runId}/cancel?wait=true`);
    expect([cancelled.status, cancelled.text]).toEqual([204, '']);
    expect(documentOf(await answer)).toBe('{}');
  });

  test('a run that is rolled back ends its waits with an error', async () => {
    const { answer, runId, threadId } = await wait();
    const run = await playRun(app, runId);
    const cancelled = app.call(
      'POST',
      `/threads/${threadId}/runs/${runId}/cancel?wait=1&action=rollback`,
    );
    const isAsked = async (): Promise<boolean> => {
      const { rows } = await app.core.pool.query<{ cancel_action: string }>(
        'SELECT cancel_action FROM runs WHERE run_id = $1',
        [runId],
      );
      return rows[0]?.cancel_action === 'rollback';
    };
    await waitUntil(isAsked, { timeoutMs: 20_000 });
    await run.rollBack();
    expect((await cancelled).status).toBe(204);
    expect((await answer).json()).toMatchObject({ __error__: { error: 'RunNotFoundError' } });
    expect((await app.call('GET', `/threads/${threadId}/runs/${runId}`)).status).toBe(404);
  });
});
